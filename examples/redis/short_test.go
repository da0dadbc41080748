package main

import (
	"context"
	"fmt"
	"testing"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/netpool"
)

// incr is a client of one command, in ten lines: the rest of this example is for all
// the others.
func incr(ctx context.Context, pool *core.Pool[*netpool.Conn], key string) (n int, err error) {
	err = netpool.Do(ctx, pool, func(c *netpool.Conn) error {
		fmt.Fprintf(c, "*2\r\n$4\r\nINCR\r\n$%d\r\n%s\r\n", len(key), key)
		_, err := fmt.Fscanf(c, ":%d\r\n", &n)
		return err
	})
	return n, err
}

func TestAClientInTenLines(t *testing.T) {
	client := open(t, password, start(t).Addr)
	for i := range 5 {
		if n, err := incr(t.Context(), client.pool, "n"); n != i+1 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
	}
	if _, err := client.Do(t.Context(), "SET", "text", "no number"); err != nil {
		t.Fatal(err)
	}
	if _, err := incr(t.Context(), client.pool, "text"); err == nil {
		t.Error("a text was counted on")
	}
	if n, err := incr(t.Context(), client.pool, "n"); n != 6 || err != nil {
		t.Errorf("after a refusal: got %d, %v", n, err)
	}
}
