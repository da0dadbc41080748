// Package file watches the servers that a file lists.
//
//	watcher := file.Watcher("/etc/echo/servers")
//
// By URL, through a [discovery.Mux] that has [Opener]:
//
//	file:///etc/echo/servers?interval=5s
//
// The file has a server a line: its address, then its weight and its zone, which
// may be absent. A line that begins with # is a comment.
//
//	# echo, west
//	10.0.0.1:9090
//	10.0.0.2:9090 2
//	[2001:db8::1]:9090 1 west
//
// Or it has the JSON that combine.Remember writes, an array of [discovery.Endpoint]:
//
//	[{"Addr": "10.0.0.1:9090", "Weight": 2, "Zone": "west", "Attrs": {"version": "7"}}]
//
// # When the file changes
//
// The file is looked at once per [Interval], a second by default. That sees every
// kind of change on every file system: a new file that is renamed to the name, a
// file that is written in place, the links of a ConfigMap that Kubernetes swaps, and
// what another host writes to a network share, of which the kernel notifies nobody.
// A look at a file that has not changed costs a few microseconds.
//
// A file that is written in place is read when it has been left alone for 100 ms.
// What is half written is in doubt, as is a file that does not exist, is empty, or
// has one line or entry that is no server: Watch tries again and then returns an
// error that names the line, and the last set stays in use. A set without servers
// is [] or a comment. JSON shows that it is complete, and so does a file that is
// renamed to the name; lines that are written in place, slowly, do not.
//
// The file counts as configuration: Unix sockets may be listed. So it is read only
// if it is a regular file of at most 16 MiB which, where there are such things,
// belongs to this user or root, and which nobody else may write.
//
// # Options and URL parameters
//
// A parameter has the name of its option, in lower case.
//
//	option     parameter   default
//	Interval   interval    1s
//	-          where       -
//
// The parameter where filters the set: see [discovery.Mux.Open].
//
// # Dependencies
//
// The package is in the root module and imports the standard library only.
//
// # URL parameters
//
//   - interval: the time from one look at the file to the next (duration from 100ms to
//     1h0m0s; default 1s).
//   - where: attribute, zone or weight that a server must have; of several values for a
//     name, one; an empty value means that it is absent; registrars ignore it (name:value,
//     may be repeated).
package file

//go:generate env UPDATE_DOC=1 go test -run TestOptionsAndParametersAreThoseOfTheTable .
