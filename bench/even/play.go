package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/bench/internal/measure"
	"github.com/minicaptain/multi_connection_pool/bench/internal/servers"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/protocol/netpool"
)

// deadline is how long a call may take.
const deadline = 5 * time.Second

// noise is processes that want the processors.
type noise struct {
	name    string
	process string // the name of the process
	n       int
}

const (
	steady = "steady"
	bursts = "bursts"
)

func noises() []noise {
	return []noise{
		{"none", "", 0},
		{"eight busy loops", steady, 8},
		{"sixteen that burst", bursts, 16},
	}
}

// arm is a balancer.
type arm struct {
	name string
	new  func() balance.Balancer
}

func arms() []arm {
	return []arm{
		{"multipool", func() balance.Balancer { return balance.LeastLatency(balance.LeastLatencyConfig{}) }},
		{"round robin", balance.RoundRobin},
		{"least in flight", func() balance.Balancer { return balance.LeastInFlight() }},
	}
}

// run is the calls of a run.
type run struct {
	begun  time.Time
	addrs  []string
	took   []time.Duration
	times  [][]time.Duration // when calls began, by server
	failed int
}

// play calls three servers, of which the first answers that much later.
func play(n noise, a arm, set settings, later time.Duration) (*run, error) {
	loud, err := servers.StartGroup(n.process, n.n)
	if err != nil {
		return nil, err
	}
	defer loud.Kill()
	all, err := servers.StartGroup("echo", 3)
	if err != nil {
		return nil, err
	}
	defer all.Kill()
	for i, s := range all {
		delay := set.work
		if i == 0 {
			delay += later
		}
		if err := s.Do(delay.String()); err != nil {
			return nil, err
		}
	}
	r := &run{addrs: all.Addrs(), times: make([][]time.Duration, 3)}
	pool, err := core.New(static.Watcher(r.addrs...), netpool.Dial(netpool.Config{}), core.MaxActive(1000), core.WithBalancer(a.new()))
	if err != nil {
		return nil, err
	}
	defer pool.Close(context.Background())
	r.drive(pool, set)
	return r, nil
}

// drive makes calls at a fixed rate, in an open loop.
func (r *run) drive(pool *core.Pool[*netpool.Conn], set settings) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	r.begun = time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := 0; ; {
		elapsed := time.Since(r.begun)
		if elapsed >= time.Duration(set.seconds)*time.Second {
			break
		}
		for ; time.Duration(n)*time.Second/time.Duration(set.rate) <= elapsed; n++ {
			wg.Go(func() {
				at := time.Since(r.begun)
				ctx, cancel := context.WithTimeout(context.Background(), deadline)
				defer cancel()
				addr, err := ask(ctx, pool)
				took := time.Since(r.begun) - at
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					r.failed++
					return
				}
				i := slices.Index(r.addrs, addr)
				r.times[i] = append(r.times[i], at)
				r.took = append(r.took, took)
			})
		}
		<-tick.C
	}
	wg.Wait()
}

// ask makes a call and returns who answered.
func ask(ctx context.Context, pool *core.Pool[*netpool.Conn]) (addr string, err error) {
	err = netpool.Do(ctx, pool, func(c *netpool.Conn) error {
		addr = c.Endpoint().Addr
		if _, err := c.Write([]byte{1}); err != nil {
			return err
		}
		_, err := c.ReadByte()
		return err
	})
	return addr, err
}

// extremes returns the least and the largest share of a server in a window.
func (r *run) extremes(window time.Duration) (least, most float64) {
	least = 1
	end := time.Duration(0)
	for _, times := range r.times {
		for _, at := range times {
			end = max(end, at)
		}
	}
	for from := time.Second; from+window <= end; from += window / 8 {
		for i := range r.addrs {
			s := r.within(i, from, from+window)
			least, most = min(least, s), max(most, s)
		}
	}
	return least, most
}

// share returns the share of a server from a time on.
func (r *run) share(i int, from time.Duration) float64 { return r.within(i, from, 1<<62) }

func (r *run) within(i int, from, to time.Duration) float64 {
	all, own := 0, 0
	for k, times := range r.times {
		for _, at := range times {
			if at >= from && at < to {
				all++
				if k == i {
					own++
				}
			}
		}
	}
	return float64(own) / float64(all)
}

func (r *run) p99() time.Duration {
	slices.Sort(r.took)
	return time.Duration(measure.Quantile(r.took, 0.99))
}
