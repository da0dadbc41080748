// Command memcached keeps values in some memcached servers, through a pool that
// spreads the keys over them:
//
//	go run ./examples/memcached -servers 127.0.0.1:11211,127.0.0.1:11212 greeting hello
//	go run ./examples/memcached -servers 127.0.0.1:11211,127.0.0.1:11212 greeting
//
// The second prints the value. With -twemproxy it takes a fleet over from twemproxy: the
// servers are lines of its configuration, with weights and perhaps names, and each key is
// where twemproxy has put it, so that the cache stays warm:
//
//	go run ./examples/memcached -twemproxy -servers '10.0.0.1:11211:1 cache-1,10.0.0.2:11211:3 cache-2' greeting
//
// The exit status is 1 if the call failed or there is no
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
	twemproxy := flag.Bool("twemproxy", false, "the servers are those of twemproxy, and have its keys")
	flag.Parse() // exits with 2
	if n := flag.NArg(); n != 1 && n != 2 {
		fmt.Fprintln(os.Stderr, "memcached: which key, and which value to set, if any?")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, strings.Split(*servers, ","), *twemproxy, flag.Args(), os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run sets a key to a value, or prints its value if only the key is given.
func run(ctx context.Context, servers []string, twemproxy bool, args []string, out io.Writer) error {
	client, err := openServers(servers, twemproxy) //nolint:contextcheck // a pool outlives the context it is made in
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

// openServers returns a client of servers, which are addresses, or lines of twemproxy's
// configuration.
func openServers(servers []string, twemproxy bool) (*Client, error) {
	if !twemproxy {
		return Open(static.Watcher(servers...))
	}
	fleet, err := readServers(servers)
	if err != nil {
		return nil, err
	}
	return Open(static.Endpoints(fleet...), likeTwemproxy())
}
