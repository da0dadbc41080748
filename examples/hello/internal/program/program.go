// Package program starts and ends the hello programs.
package program

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Run runs program and exits with status 1 if it returns an error. Ctrl-C and SIGTERM
// end the program's context. The context of a child, whose parent decides when it ends,
// ends with standard input, which closes however the parent dies.
func Run(child bool, program func(ctx context.Context) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if child {
		// A terminal sends Ctrl-C to the children too; the parent acts on it.
		stop()
		signal.Ignore(os.Interrupt)
		ctx, stop = context.WithCancel(context.Background())
		go func() { // ends with the process
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	context.AfterFunc(ctx, stop) // a second Ctrl-C kills the program
	if err := program(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
