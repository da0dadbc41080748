// Command memcached keeps values in some memcached servers, through a pool that
// spreads the keys over them:
//
//	go run ./examples/memcached -servers 127.0.0.1:11211,127.0.0.1:11212 greeting hello
//	go run ./examples/memcached -servers 127.0.0.1:11211,127.0.0.1:11212 greeting
//
// The second prints the value. The exit status is 1 if the call failed or there is no
// such key, and 2 if the arguments are wrong.
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
	servers := flag.String("servers", "127.0.0.1:11211", "addresses, separated by commas")
	flag.Parse() // exits with 2
	if n := flag.NArg(); n != 1 && n != 2 {
		fmt.Fprintln(os.Stderr, "memcached: which key, and which value to set, if any?")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, strings.Split(*servers, ","), flag.Args(), os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run sets a key to a value, or prints its value if only the key is given.
func run(ctx context.Context, servers, args []string, out io.Writer) error {
	client, err := Open(static.Watcher(servers...)) //nolint:contextcheck // a pool outlives the context it is made in
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	defer func() { _ = client.Close(ctx) }()
	if len(args) == 2 {
		return client.Set(ctx, args[0], args[1])
	}
	value, err := client.Get(ctx, args[0])
	if err == nil {
		_, err = fmt.Fprintln(out, value)
	}
	return err
}
