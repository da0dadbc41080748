//go:build go1.26 && unix

package httppool

import (
	"flag"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
)

// The course of a run: traffic, the fault, and what comes after.
const (
	calm   = time.Second / 2
	during = 3 * time.Second / 2
	after  = time.Second

	deadline = 5 * time.Second // of each call
)

// rate is in calls per second. With more than the default the faults happen one
// after the other, and the figures in the log mean something:
//
//	go test -run Faults -v ./protocol/httppool -rate 1000
var rate = flag.Int("rate", 100, "calls per second of the fault tests")

// fault is what happens to the servers. The first of them is the victim. begin
// returns the function that ends the fault.
type fault struct {
	name  string
	begin func(all []*process) (end func() error, err error)
	share float64 // the most that the victim may get of the fault's second half
}

func faults() []fault {
	return []fault{
		{"kill -9, and restart", func(all []*process) (func() error, error) {
			all[0].kill()
			return func() error { return restart(all, 0) }, nil
		}, 0},
		{"SIGSTOP", func(all []*process) (func() error, error) {
			err := all[0].cmd.Process.Signal(syscall.SIGSTOP)
			return func() error { return all[0].cmd.Process.Signal(syscall.SIGCONT) }, err
		}, 0},
		{"accepts and never answers", func(all []*process) (func() error, error) {
			err := all[0].delay(-1)
			return func() error { all[0].kill(); return restart(all, 0) }, err
		}, 0},
		{"slower", func(all []*process) (func() error, error) {
			by := 50 * time.Millisecond
			if *rate <= 100 {
				by = 150 * time.Millisecond // more than what else the machine does makes the others
			}
			err := all[0].delay(by)
			return func() error { return all[0].delay(0) }, err
		}, 0.1},
		{"rolling restart", func(all []*process) (func() error, error) {
			for i := range all {
				all[i].kill()
				sleep(150 * time.Millisecond)
				if err := restart(all, i); err != nil {
					return nil, err
				}
				sleep(250 * time.Millisecond)
			}
			return func() error { return nil }, nil
		}, 1},
	}
}

// reply is one call as its caller saw it.
type reply struct {
	at, took time.Duration // since the beginning of the run
	server   string
	err      error
}

// drive makes calls at a fixed rate, whether or not the earlier ones have ended.
func drive(t *testing.T, c *http.Client, begun time.Time) []reply {
	t.Helper()
	var mu sync.Mutex
	var all []reply
	var wg sync.WaitGroup
	tick := time.NewTicker(time.Second / time.Duration(*rate))
	defer tick.Stop()
	for n := 0; time.Since(begun) < calm+during+after; <-tick.C {
		for ; time.Duration(n)*time.Second/time.Duration(*rate) <= time.Since(begun); n++ {
			due := time.Duration(n) * time.Second / time.Duration(*rate)
			wg.Go(func() {
				ctx, cancel := contextOf(t, time.Until(begun.Add(due+deadline)))
				defer cancel()
				_, server, err := get(ctx, c, "http://echo/")
				mu.Lock()
				defer mu.Unlock()
				all = append(all, reply{due, time.Since(begun) - due, server, err})
			})
		}
	}
	wg.Wait()
	return all
}

// quantile returns a quantile of the times of the calls begun in a span.
func quantile(all []reply, q float64, from, to time.Duration) time.Duration {
	var took []time.Duration
	for _, r := range all {
		if r.at >= from && r.at < to {
			took = append(took, r.took)
		}
	}
	slices.Sort(took)
	return took[min(len(took)-1, int(q*float64(len(took))))]
}

// share returns the part of the calls begun in a span that a server answered.
func share(all []reply, addr string, from, to time.Duration) float64 {
	n, its := 0, 0
	for _, r := range all {
		if r.at >= from && r.at < to {
			n++
			if r.server == addr {
				its++
			}
		}
	}
	return float64(its) / float64(max(n, 1))
}

// Whatever happens to one of three servers, no idempotent request fails, the
// victim gets next to none of the requests, and afterwards it gets its share
// again. The log has the figures that depend on the machine.
func TestFaultsOfOneServerFailNoRequest(t *testing.T) {
	if testing.Short() {
		t.Skip("each fault takes three seconds")
	}
	for _, http2 := range []bool{false, true} {
		for i, f := range faults() {
			if http2 && i > 1 && *rate <= 100 {
				continue // to save time: the others are no different there
			}
			t.Run(f.name+map[bool]string{true: ", HTTP/2"}[http2], func(t *testing.T) {
				if *rate <= 100 {
					t.Parallel()
				}
				limit := 100 * time.Millisecond // of each try of a call
				if *rate <= 100 {
					limit = 300 * time.Millisecond // for machines that do much else
				}
				all := fleet(t)
				pool := poolOf(t, Config{HTTP2: http2, Timeout: limit}, static.Watcher(all[0].addr, all[1].addr, all[2].addr))
				ready(t, pool)
				begun := time.Now()
				ended := make(chan error, 1)
				var healed, over time.Duration // before and after that
				go func() {                    // sends what is received below
					sleep(calm)
					end, err := f.begin(all)
					if err == nil {
						sleep(time.Until(begun.Add(calm + during)))
						healed = time.Since(begun)
						err = end()
					}
					over = time.Since(begun)
					ended <- err
				}()
				c := clientOf(t, pool)
				replies := drive(t, c, begun)
				if err := <-ended; err != nil {
					t.Fatal(err)
				}
				failed := 0
				for _, r := range replies {
					if r.err != nil {
						if failed++; failed <= 3 {
							t.Errorf("at %v, after %v: %v", r.at, r.took, r.err)
						}
					}
				}
				if failed > 0 {
					t.Errorf("%d of %d requests failed", failed, len(replies))
				}
				meanwhile := slices.DeleteFunc(slices.Clone(replies), func(r reply) bool { return r.at+r.took >= healed })
				got := share(meanwhile, all[0].addr, calm+during/2, calm+during)
				if got > f.share {
					t.Errorf("the victim's share is %.3f", got)
				}
				last := calm + during + after
				var shares []float64
				for _, p := range all {
					shares = append(shares, share(replies, p.addr, last-after/2, last))
				}
				t.Logf("%d calls, %d failed; p99 %v calm, %v then, p99.9 %v; its share %.1f %%; back after %v; in the end %.2f",
					len(replies), failed, quantile(replies, 0.99, calm/2, calm), quantile(replies, 0.99, calm, over+time.Second/2),
					quantile(replies, 0.999, calm, over+time.Second/2), 100*got, back(replies, all[0].addr, over), shares)
				again := func() bool {
					_, server, err := get(t.Context(), c, "http://echo/")
					return err == nil && server == all[0].addr
				}
				// The balancer counts calls, of which a busy machine makes few.
				for n, from := 0, time.Now(); !again(); n++ {
					if n > 3000 && time.Since(from) > prototest.Patience {
						t.Fatalf("the victim is not called again by %d calls in %v", n, time.Since(from))
					}
				}
			})
		}
	}
}

// back returns how long after the fault's end the victim has four fifths of its
// share.
func back(all []reply, addr string, over time.Duration) time.Duration {
	const window = 200 * time.Millisecond
	for at := over; at < calm+during+after-window; at += 20 * time.Millisecond {
		if share(all, addr, at, at+window) >= 0.8/3 {
			return at + window - over
		}
	}
	return -1
}
