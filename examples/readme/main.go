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
		static.Watcher("10.0.0.1:9090", "10.0.0.2:9090", "10.0.0.3:9090"),
		thriftpool.Dial(thriftpool.Config{}),
	)
	if err != nil {
		log.Fatal(err) // a mistake in the parameters; nothing was dialed yet
	}
	client := thriftpool.Client(pool, thriftpool.Idempotent("echo")) // goroutines share it

	reply, err := echo.NewEchoClient(client).Echo(context.Background(), "hello") // and not what the compiler generated
	log.Println(reply, err)
	log.Println(pool.Close(context.Background()))
}
