// Command readme is the program that the README begins with.
package main

import (
	"context"
	"log"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

func main() {
	pool, err := core.New(
		static.Watcher("127.0.0.1:9091", "127.0.0.1:9092", "127.0.0.1:9093"),
		thriftpool.Dial(thriftpool.Config{}),
	)
	if err != nil {
		log.Fatal(err) // a mistake in the parameters; nothing was dialed yet
	}
	client := thriftpool.Client(pool, thriftpool.Idempotent("echo")) // goroutines share it

	reply, err := echo.NewEchoClient(client).Echo(context.Background(), "hello")
	if err != nil {
		log.Fatal(err) // which servers were tried, and what each said
	}
	log.Println(reply, pool.Close(context.Background()))
}
