// Command memcached keeps values in some memcached servers, through a pool that
// spreads the keys over them:
//
//	go run ./examples/memcached -servers 127.0.0.1:11211,127.0.0.1:11212 greeting hello
//	go run ./examples/memcached -servers 127.0.0.1:11211,127.0.0.1:11212 greeting
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

func main() {
	servers := flag.String("servers", "127.0.0.1:11211", "addresses, separated by commas")
	flag.Parse()
	client, err := Open(static.Watcher(strings.Split(*servers, ",")...))
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	switch flag.NArg() {
	case 1:
		fmt.Println(client.Get(ctx, flag.Arg(0)))
	case 2:
		fmt.Println(client.Set(ctx, flag.Arg(0), flag.Arg(1)))
	default:
		fmt.Println("which key, and which value to set, if any?")
	}
	_ = client.Close(ctx)
}
