package scale_test

import (
	"fmt"
	"io"
	"math"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

// size is how large the fleets are.
type size struct {
	clients, servers int
	outage           time.Duration // the long one
	vast             int           // servers of the largest fleet
}

// scenarios are what happens, by heading. Each writes one table.
func scenarios() []func(t *testing.T, out io.Writer, n size) {
	return []func(t *testing.T, out io.Writer, n size){registryOutage, longOutage, rollingRestart, herd, vast}
}

// registryOutage takes the registry away from all clients for a minute.
func registryOutage(t *testing.T, out io.Writer, n size) {
	const calm, gone, after = 10 * time.Second, time.Minute, 40 * time.Second
	f := newFleet(t, n.clients, n.servers, 1, nil)
	defer f.end(t)
	f.call(t, 1)
	time.Sleep(calm)
	f.change(func() { f.down = true })
	time.Sleep(gone)
	fresh := core.Endpoint{Addr: f.addrs[0], Weight: 1.5}
	f.change(func() { f.down, f.set = false, append(f.set[1:len(f.set):len(f.set)], fresh) })
	back := time.Now()
	known := func() (all bool) {
		for _, p := range f.pools {
			if p.Len() != n.servers || p.Stats().State != core.StateReady {
				return false
			}
		}
		return true
	}
	for !known() {
		time.Sleep(100 * time.Millisecond)
	}
	took := time.Since(back)
	time.Sleep(after)
	fmt.Fprintf(out, `
## The registry is away for a minute: %d clients, %d servers, a call per second and client

| | |
|---|--:|
| requests to the registry in the worst second of the outage, per client | %.2f |
| requests in the worst second after it, per client (ideal: 1 in all) | %.2f |
| until every client follows it again | %.1f s |
| calls lost | %d of %d |
`, n.clients, n.servers, per(f.requests.peak(calm+time.Second, calm+gone), n.clients), per(f.requests.peak(calm+gone, calm+gone+after), n.clients),
		took.Seconds(), f.failed.Load(), f.calls.Load())
}

func per(n, of int) float64 { return float64(n) / float64(of) }

// longOutage takes the registry away for long, while a part of the servers leaves for good.
func longOutage(t *testing.T, out io.Writer, n size) {
	const calm, after = 10 * time.Second, time.Minute
	clients, servers := max(5, n.clients/20), max(5, n.servers/20)
	f := newFleet(t, clients, servers, 1, nil)
	defer f.end(t)
	f.call(t, 1)
	time.Sleep(calm)
	f.change(func() { f.down = true })
	for _, addr := range f.addrs[:servers/5] { // gone, and nobody hears of it
		f.servers[addr].epoch.Add(1)
	}
	time.Sleep(n.outage)
	dials := f.dials.total(calm+n.outage/2, calm+n.outage)
	f.change(func() { f.down, f.set = false, f.set[servers/5:] })
	time.Sleep(after)
	known := 0
	for _, p := range f.pools {
		if p.Len() == servers-servers/5 {
			known++
		}
	}
	fmt.Fprintf(out, `
## The registry is away for %v, and a fifth of the servers leaves meanwhile: %d clients, %d servers

| | |
|---|--:|
| requests to the registry, per client and minute | %.1f |
| dials in the second half of the outage, per client, dead server and minute | %.2f |
| clients with the right set a minute after it | %d of %d |
| calls lost | %d of %d |
`, n.outage, clients, servers, per(f.requests.total(calm, calm+n.outage), clients)/n.outage.Minutes(),
		per(dials, clients)/float64(servers/5)/(n.outage.Minutes()/2), known, clients, f.failed.Load(), f.calls.Load())
}

// rollingRestart restarts every server, a hundredth of them at a time.
func rollingRestart(t *testing.T, out io.Writer, n size) {
	const calm, down = 10 * time.Second, 2 * time.Second
	f := newFleet(t, n.clients, n.servers, 1, nil)
	defer f.end(t)
	f.warm(t)
	f.call(t, 5)
	time.Sleep(calm)
	step := max(1, n.servers/100)
	warmed := time.Since(f.network.begun)
	began := time.Now()
	open, _ := f.connections()
	for i := 0; i < n.servers; i += step {
		for _, addr := range f.addrs[i:min(i+step, n.servers)] {
			go f.servers[addr].restart(down) // ends with the restart
		}
		time.Sleep(down)
	}
	took := time.Since(began)
	time.Sleep(5 * time.Second)
	dials := f.dials.peak(warmed, warmed+took+5*time.Second)
	ideal := open * float64(step) / down.Seconds()
	least, most := f.shares(5 * time.Second)
	chance := 3 / math.Sqrt(25*per(n.clients, n.servers))
	fmt.Fprintf(out, `
## A rolling restart: %d clients, %d servers, %d of them at a time down for %v, five calls per second and client

| | |
|---|--:|
| dials of all clients in the worst second | %d |
| connections that were closed per second, which is the ideal if all are wanted | %.0f |
| calls lost | %d of %d |
| calls of a server to the mean, in five seconds afterwards: least, most | %.2f, %.2f |
| the same if each call went to a random server, at three deviations | %.2f, %.2f |
`, n.clients, n.servers, step, down, dials, ideal, f.failed.Load(), f.calls.Load(), least, most, 1-chance, 1+chance)
}

// herd starts all clients in the same second, each with twenty calls at once.
func herd(t *testing.T, out io.Writer, n size) {
	f := newFleet(t, n.clients, n.servers, 1, nil)
	defer f.end(t)
	const each = 20
	for _, p := range f.pools {
		for range each {
			f.callers.Go(func() { f.one(p) })
		}
	}
	time.Sleep(time.Second)
	dials := f.dials.total(0, time.Second)
	mean, most := f.connections()
	f.call(t, 10)
	least, largest := f.shares(5 * time.Second)
	fmt.Fprintf(out, `
## All clients begin at once: %d clients with %d calls each, %d servers

| | |
|---|--:|
| dials in the first second, per call (1 if no connection can be reused) | %.2f |
| connections of a server: mean, most | %.1f, %d |
| calls lost | %d of %d |
| calls of a server to the mean, in the next five seconds: least, most | %.2f, %.2f |
`, n.clients, each, n.servers, per(dials, n.clients*each), mean, most, f.failed.Load(), f.calls.Load(), least, largest)
}

// vast has clients in zones use a part of a very large fleet.
func vast(t *testing.T, out io.Writer, n size) {
	const clients, zones = 8, 4
	began := time.Now()
	f := newFleet(t, clients, n.vast, zones, func(i int) []core.Option {
		r := balance.LeastLatency(balance.LeastLatencyConfig{})
		return []core.Option{core.WithBalancer(balance.ZoneAware(zone(i%zones), balance.Subset(i/zones, clients/zones, r, balance.Aperture(100))))}
	})
	defer f.end(t)
	for _, p := range f.pools {
		if err := p.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ready := time.Since(began)
	f.call(t, 50)
	time.Sleep(10 * time.Second)
	mean, most := f.connections()
	fmt.Fprintf(out, `
## A vast fleet: %d servers in %d zones, %d clients that use a part of their zone each, fifty calls per second and client

| | |
|---|--:|
| until every client is ready, in simulated time | %v |
| connections per client | %.0f |
| most connections of a server | %d |
| calls lost | %d of %d |
`, n.vast, zones, clients, ready.Round(time.Millisecond), mean*float64(n.vast)/clients, most, f.failed.Load(), f.calls.Load())
}
