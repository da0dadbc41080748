package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/minicaptain/multi_connection_pool/bench/internal/servers"
)

// deadline is how long each call may take.
const deadline = 500 * time.Millisecond

// call is a call as its caller sees it.
type call struct {
	at, took time.Duration // since the beginning of the run
	server   string        // that answered; empty if none has
}

// outcome is what one arm made of one fault.
type outcome struct {
	failed      int
	flying      int // calls in flight when the fault began
	calmP99     time.Duration
	p99, p999   time.Duration // from the beginning of the fault to a second after its end
	share       float64       // of the victim, in the fault's last two seconds
	back        time.Duration // from the end of the fault until the victim has its share again
	peak        float64       // the victim's greatest share of a window in the second after that
	least, most float64       // share of any server, in the last two seconds
}

func (o outcome) returned() time.Duration { return o.back }

// never is longer than any run.
const never = time.Hour

// play calls servers of a protocol through one of its arms while a fault happens to them.
func play(f fault, p protocol, a arm, rate int) (outcome, error) {
	all, err := servers.StartGroup(p.name, 3)
	if err != nil {
		return outcome{}, err
	}
	defer all.Kill()
	addrs := all.Addrs()
	way, err := a.open(addrs)
	if err != nil {
		return outcome{}, err
	}
	defer way.Close()

	begun := time.Now()
	ended := make(chan error, 1)
	var struck, over time.Duration // when the fault had begun, and when it had ended
	go func() {
		time.Sleep(calm)
		end, err := f.begin(all)
		struck = time.Since(begun)
		if err == nil {
			time.Sleep(time.Until(begun.Add(calm + during)))
			err = end()
		}
		over = time.Since(begun)
		ended <- err
	}()
	calls := drive(way, begun, rate)
	if err := <-ended; err != nil {
		return outcome{}, err
	}
	return judge(calls, addrs, struck, over), nil
}

// drive makes calls at a fixed rate, in an open loop: a call does not wait for the calls before it.
func drive(way way, begun time.Time, rate int) []call {
	const total = calm + during + after
	var mu sync.Mutex
	var wg sync.WaitGroup
	calls := make([]call, 0, int(total.Seconds())*rate)
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for n := 0; ; {
		elapsed := time.Since(begun)
		if elapsed >= total {
			break
		}
		for ; time.Duration(n)*time.Second/time.Duration(rate) <= elapsed; n++ {
			due := time.Duration(n) * time.Second / time.Duration(rate)
			wg.Go(func() {
				ctx, cancel := context.WithDeadline(context.Background(), begun.Add(due+deadline))
				defer cancel()
				addr, err := way.ask(ctx)
				c := call{at: due, took: time.Since(begun) - due}
				if err == nil {
					c.server = addr
				}
				mu.Lock()
				calls = append(calls, c)
				mu.Unlock()
			})
		}
		<-tick.C
	}
	wg.Wait()
	return calls
}

// judge sums up the calls around a fault that had begun at struck and ended at over.
func judge(calls []call, addrs []string, struck, over time.Duration) outcome {
	slices.SortFunc(calls, func(a, b call) int { return int(a.at - b.at) })
	o := outcome{least: 1, back: never}
	var quiet, loud []time.Duration
	for _, c := range calls {
		if c.server == "" {
			o.failed++
		}
		if c.at < struck && c.at+c.took > calm {
			o.flying++
		}
		switch {
		case c.at > calm/2 && c.at < calm:
			quiet = append(quiet, c.took)
		case c.at >= calm && c.at < over+time.Second:
			loud = append(loud, c.took)
		}
	}
	o.calmP99, o.p99, o.p999 = quantile(quiet, 0.99), quantile(loud, 0.99), quantile(loud, 0.999)
	o.share = share(calls, addrs[0], calm+during/3, calm+during)
	// The victim is back when a window begins in which it has four fifths of its share, plus a fifth of the window.
	const window = 200 * time.Millisecond
	for at := over; at < calm+during+after-window; at += 10 * time.Millisecond {
		s := share(calls, addrs[0], at, at+window)
		if o.back == never && s >= 0.8/float64(len(addrs)) {
			o.back = at + window/5 - over
		}
		if at-over < o.back+time.Second {
			o.peak = max(o.peak, s)
		}
	}
	for _, addr := range addrs {
		s := share(calls, addr, calm+during+after-2*time.Second, calm+during+after)
		o.least, o.most = min(o.least, s), max(o.most, s)
	}
	return o
}

// share is the part of the calls begun in a span of time that a server answered.
func share(calls []call, addr string, from, to time.Duration) float64 {
	n, all := 0, 0
	for _, c := range calls {
		if c.at >= from && c.at < to {
			all++
			if c.server == addr {
				n++
			}
		}
	}
	return float64(n) / float64(max(all, 1))
}

func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[min(len(d)-1, int(q*float64(len(d))))]
}
