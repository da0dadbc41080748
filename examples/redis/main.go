// Command redis sends a command to one of some Redis servers, through a pool:
//
//	go run ./examples/redis -servers 127.0.0.1:6379 SET greeting hello
//
// resp.go is the protocol, client.go the client over [netpool].
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

func main() {
	servers := flag.String("servers", "127.0.0.1:6379", "addresses, separated by commas")
	flag.Parse()
	if flag.NArg() == 0 {
		log.Fatal("which command? for example: PING")
	}
	client, err := Open(static.Watcher(strings.Split(*servers, ",")...), os.Getenv("REDIS_PASSWORD"))
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	reply, err := client.Do(ctx, flag.Args()...)
	fmt.Println(reply, err)
	_ = client.Close(ctx)
}
