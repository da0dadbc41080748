//go:build go1.26

package httppool

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
)

// slowBody is a body whose next byte comes after the end of its request.
type slowBody struct {
	ctx   context.Context
	begun bool
}

func (b *slowBody) Read(p []byte) (int, error) {
	if b.begun {
		<-b.ctx.Done()
	}
	b.begun = true
	return copy(p, "x"), nil
}

// A program whose body is late blames no server for the end of its time.
func TestARequestWhoseOwnBodyIsLateBlamesNoServer(t *testing.T) {
	for name, k := range kinds(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }) {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, k.conf, []string{k.addr})
			ctx, cancel := contextOf(t, 100*time.Millisecond)
			defer cancel()
			resp, err := c.Do(must(http.NewRequestWithContext(ctx, http.MethodPost, k.scheme+"://echo/", io.MultiReader(&slowBody{ctx: ctx}))))
			if err == nil {
				_ = resp.Body.Close()
			}
			var e *Error
			if !errors.As(err, &e) || !errors.Is(err, context.DeadlineExceeded) || e.Outcome != balance.OutcomeNeutral {
				t.Errorf("error %v, outcome %v", err, e.Outcome)
			}
		})
	}
}
