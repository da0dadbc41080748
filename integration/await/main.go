// Command await waits until the registries of the cluster that the environment
// names can be used, for a minute at most.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/minicaptain/multi_connection_pool/integration/internal/cluster"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := cluster.FromEnv()
	if err == nil {
		err = c.Await(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:gocritic // the process ends, and the timer with it
	}
}
