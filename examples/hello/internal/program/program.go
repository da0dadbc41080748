// Package program is how the hello programs begin and end.
package program

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Run runs a program until it returns, and exits with 1 if that was with an error.
// Its context ends with Ctrl-C or SIGTERM. That of a child, whose parent decides when
// it ends, ends with its standard input, which it does however the parent dies.
func Run(child bool, program func(ctx context.Context) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if child {
		// Ctrl-C in a terminal goes to the children too.
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
