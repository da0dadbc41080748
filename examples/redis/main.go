// Command redis sends a command to one of some Redis servers, through a pool:
//
//	go run ./examples/redis -servers 127.0.0.1:6379 SET greeting hello
//
// It prints the reply. The exit status is 1 if the call failed or the server refused the
// command, and 2 if the arguments are wrong. resp.go is the protocol, client.go the client
// over [netpool].
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

func main() {
	servers := flag.String("servers", "127.0.0.1:6379", "addresses, separated by commas")
	flag.Parse() // exits with 2
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "redis: which command? for example: PING")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, strings.Split(*servers, ","), os.Getenv("REDIS_PASSWORD"), flag.Args(), os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run sends one command and prints its reply.
func run(ctx context.Context, servers []string, password string, command []string, out io.Writer) error {
	client, err := Open(static.Watcher(servers...), password) //nolint:contextcheck // a pool outlives the context it is made in
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	defer func() { _ = client.Close(ctx) }()
	reply, err := client.Do(ctx, command...)
	if err != nil {
		return fmt.Errorf("redis: %s: %w", command[0], err)
	}
	_, err = fmt.Fprintln(out, reply)
	return err
}
