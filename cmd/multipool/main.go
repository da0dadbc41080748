// Command multipool shows what a registry has, follows it, registers servers in it and finds
// out why that does not work.
//
//	go run ./cmd/multipool ls     zk://127.0.0.1:2181/services/echo
//	go run ./cmd/multipool doctor zk://127.0.0.1:2181/services/echo
//
// README.md shows each command, and --help its flags. A registry is a URL, the same as in a program:
// the documentation of package discovery and of the plugins has the parameters.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// The exit codes, which the help of the commands repeats.
const (
	exitFailed    = 1 // the registry cannot be used, or what was asked for has failed
	exitUsage     = 2 // the command line or the URL is wrong
	exitNoServers = 3 // the registry answers, and has no server
	exitUnwell    = 4 // doctor: there are servers; entries are skipped or servers do not answer
)

// exitError ends the program with a code. Without err, everything has been said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprint("exit code ", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func exit(code int, err error) error { return &exitError{code, err} }

func main() {
	// register has a second signal too, which it asks for itself.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, root())
	stop()
	os.Exit(code)
}

func run(ctx context.Context, cmd *cobra.Command) int {
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	// What is no exitError is cobra's: the command line is wrong.
	e := &exitError{exitUsage, err}
	_ = errors.As(err, &e)
	if e.err != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "multipool: %s\n", printableLines(e.err.Error()))
	}
	return e.code
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "multipool",
		Short: "Show, follow, fill and examine service registries and pools",
		Long: `multipool shows which servers a registry has, follows their changes, keeps a server
registered while it is healthy, mirrors one registry into another, finds out why a
registry cannot be used, and shows the pools of a running program.

A registry is a URL. These schemes are known:

  zk://HOST[:2181],HOST/PATH          ZooKeeper
  etcd://HOST[:2379],HOST/PREFIX      etcd
  consul://HOST[:8500]/SERVICE        Consul
  k8s://[CONTEXT]/NAMESPACE/SERVICE   Kubernetes; read only
  xds://HOST[:18000]/CLUSTER          a control plane that speaks xDS; read only
  dns:///NAME:PORT, dns:///_SRV._tcp.NAME  DNS; read only
  file:///PATH                        a file of servers
  static://HOST:PORT,HOST:PORT        a list

Parameters follow a question mark, such as ?format=curator&where=zone:eu; quote the URL in
a shell. A password is best given as a reference: zk://user:env%3AZK_PASSWORD@HOST/PATH.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.AddCommand(lsCommand(), watchCommand(), registerCommand(), doctorCommand(), copyCommand(), topCommand())
	return cmd
}
