package netpool_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/protocol/netpool"
)

// A client of a line protocol: one request is a line, and so is its answer.
type client struct{ *core.Pool[*netpool.Conn] }

func (cl client) ask(ctx context.Context, question string) (answer string, err error) {
	err = netpool.Do(ctx, cl.Pool, func(c *netpool.Conn) error {
		fmt.Fprintf(c, "%s\n", question)
		answer, err = c.ReadString('\n')
		return err
	})
	return strings.TrimSpace(answer), err
}

func Example() {
	ctx := context.Background()
	addr, stop := startShouter()
	defer stop()
	pool, err := core.New(static.Watcher(addr), netpool.Dial(netpool.Config{}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = pool.Close(ctx) }()

	fmt.Println(client{pool}.ask(ctx, "is anybody there?"))
	// Output: IS ANYBODY THERE? <nil>
}

// What is written before the first answer is read goes out together.
func ExampleDo_pipeline() {
	ctx := context.Background()
	addr, stop := startShouter()
	defer stop()
	pool, err := core.New(static.Watcher(addr), netpool.Dial(netpool.Config{}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = pool.Close(ctx) }()

	err = netpool.Do(ctx, pool, func(c *netpool.Conn) error {
		for i := range 3 {
			fmt.Fprintf(c, "request %d\n", i)
		}
		for range 3 {
			answer, err := c.ReadString('\n')
			if err != nil {
				return err
			}
			fmt.Print(answer)
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// REQUEST 0
	// REQUEST 1
	// REQUEST 2
	// <nil>
}

// An error of the application is returned as it is. It is an answer like any
// other: the server is healthy, and its connection serves the next call.
func ExampleDo_error() {
	ctx := context.Background()
	addr, stop := startShouter()
	defer stop()
	pool, err := core.New(static.Watcher(addr), netpool.Dial(netpool.Config{}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = pool.Close(ctx) }()

	for range 3 {
		err = netpool.Do(ctx, pool, func(c *netpool.Conn) error {
			fmt.Fprintln(c, "no such user")
			answer, err := c.ReadString('\n')
			if err != nil {
				return err
			}
			return errors.New(strings.TrimSpace(answer))
		})
	}
	fmt.Println(err, pool.Stats().Endpoints[0].Dials)
	// Output: NO SUCH USER 1
}

// A server that has too much to do is spared, and keeps its connections.
func ExampleClassify() {
	errBusy := errors.New("busy, try again later")
	pool, err := core.New(
		static.Watcher("h1:7000", "h2:7000"),
		netpool.Dial(netpool.Config{}),
		core.WithClassifier(func(err error) balance.Outcome {
			if errors.Is(err, errBusy) {
				return balance.OutcomeOverload
			}
			return netpool.Classify(err)
		}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(pool.Close(context.Background()))
	// Output: <nil>
}

// startShouter runs a server that repeats each line in capitals.
func startShouter() (addr string, stop func()) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	var done sync.WaitGroup
	done.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			done.Go(func() {
				defer func() { _ = nc.Close() }()
				for lines := bufio.NewScanner(nc); lines.Scan(); {
					fmt.Fprintln(nc, strings.ToUpper(lines.Text()))
				}
			})
		}
	})
	return ln.Addr().String(), func() {
		_ = ln.Close()
		done.Wait() // the pool has closed its connections by then
	}
}
