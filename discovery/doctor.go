package discovery

// Doctor is the command that finds out why a registry cannot be used, step by step. URL
// stands for that of the registry.
//
// What shows a registry's error to a person shows Doctor beside it, once: the error of
// core's Pool.WaitReady, the log of package observe/slog and the page of observe/live
// do. Errors of single calls do not, since one outage has many of them.
const Doctor = "go run github.com/minicaptain/multi_connection_pool/cmd/multipool doctor URL"
