package memo

import (
	"context"
	"testing"
	"testing/synctest"
)

func TestAValueIsTakenOnceByTheRegistrationThatLeftIt(t *testing.T) {
	var m Memo[int]
	a, cancelA := context.WithCancel(t.Context())
	defer cancelA()
	b, cancelB := context.WithCancel(t.Context())
	defer cancelB()
	m.Leave(a, "x", 1)
	m.Leave(a, "y", 2)
	m.Leave(b, "x", 3)
	for _, c := range []struct {
		ctx  context.Context
		name string
		want int
	}{{b, "x", 3}, {a, "x", 1}, {a, "y", 2}, {a, "x", 0}, {b, "y", 0}} {
		if got := m.Take(c.ctx, c.name); got != c.want {
			t.Errorf("%s: took %d, want %d", c.name, got, c.want)
		}
	}
}

func TestNothingIsKeptOfARegistrationThatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Memo[int]
		ctx, cancel := context.WithCancel(t.Context())
		m.Leave(ctx, "x", 1)
		cancel()
		synctest.Wait()
		if n := len(m.all); n != 0 {
			t.Errorf("%d values are left", n)
		}
	})
}
