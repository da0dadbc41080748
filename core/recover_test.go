package core_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// dialed makes a pool of addrs whose dials are answered by dial, or by a
// connection if that returns nil. It is closed with the test.
func dialed(t *testing.T, dial func(addr string) error, addrs []string, opts ...core.Option) *core.Pool[*link] {
	t.Helper()
	f := newFleet(t, addrs...)
	p, err := core.New(f, core.DialFunc[*link](func(ctx context.Context, e core.Endpoint) (*link, error) {
		if err := dial(e.Addr); err != nil {
			return nil, err
		}
		return f.Dial(ctx, e)
	}), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestDialThatNeverReturnsKeepsItsPlaceWithinMaxActive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int32
		p := dialed(t, func(string) error {
			if dials.Add(1) == 1 {
				time.Sleep(time.Minute) // deaf to its context
			}
			return nil
		}, []string{"a:1"}, core.MaxActive(1), core.DialTimeout(time.Second))
		if l, err := p.Get(within(t, time.Second)); err == nil {
			t.Errorf("leased %v", l)
		}
		for range 120 { // the dial comes back in the middle
			time.Sleep(time.Second)
			if e := p.Stats().Endpoints[0]; e.Open+e.Dialing+e.Closing > 1 {
				t.Fatalf("%+v, want at most one", e)
			}
		}
		release(t, get(t, p))
	})
}

func TestServerThatWasDownComesBackBesideCallsThatWaitForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refusing atomic.Bool
		refusing.Store(true)
		p := dialed(t, func(addr string) error {
			if addr == "b:1" && refusing.Load() {
				return errors.New("refused")
			}
			return nil
		}, []string{"a:1", "b:1"}, core.MaxActive(1), core.MaxTotal(100))
		held := get(t, p, core.WithEndpoint("a:1"))
		if _, err := p.Get(t.Context(), core.WithEndpoint("b:1")); !errors.Is(err, core.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		refusing.Store(false)
		waiting := background(t.Context(), p, core.WithEndpoint("a:1"))
		time.Sleep(10 * time.Second)
		for _, e := range p.Stats().Endpoints {
			if e.Down {
				t.Errorf("ten seconds later: %+v", e)
			}
		}
		release(t, held)
		synctest.Wait()
		release(t, served(t, waiting))
	})
}
