package core_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/outlier"
)

// errBroken is an error as connections return it.
var errBroken error = &net.OpError{Op: "read", Err: errors.New("internal server error")}

// traffic makes a hundred calls a second for d and returns how many each server
// got; those to bad fail.
func traffic(t *testing.T, p *core.Pool[*link], d time.Duration, bad string) map[string]int {
	t.Helper()
	calls := map[string]int{}
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		err := p.Do(t.Context(), func(_ context.Context, l *link) error {
			calls[l.server.addr]++
			time.Sleep(time.Millisecond)
			if l.server.addr == bad {
				return errBroken
			}
			return nil
		})
		if err != nil && !errors.Is(err, errBroken) {
			t.Fatal(err)
		}
	}
	return calls
}

// patience is longer than an ejector waits to hear from the other servers, which
// nobody calls in these tests.
const patience = 300 * time.Millisecond

// fail reports n failed calls.
func fail(l core.Lease[*link], n int) {
	for k := range n {
		if k > 0 {
			time.Sleep(patience)
		}
		l.Report(balance.Report{Outcome: balance.OutcomeFailure, Latency: time.Millisecond})
	}
}

// eject makes calls to a server fail until it is ejected, and leaves it a
// connection.
func eject(t *testing.T, p *core.Pool[*link], addr string) {
	t.Helper()
	l := get(t, p, core.WithEndpoint(addr))
	fail(l, 3)
	release(t, l)
	if !endpointStats(t, p, addr).Ejected {
		t.Fatalf("%s is not ejected", addr)
	}
}

func TestServerWhoseCallsFailGetsSingleCallsUntilItIsWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1", "c:1")
		j := new(journal)
		p := f.pool(core.WithObserver(j.Observe))
		traffic(t, p, 10*time.Second, "")
		if n := traffic(t, p, 10*time.Second, "a:1")["a:1"]; n > 3+25 {
			t.Errorf("a server that fails got %d calls in 10 s", n)
		}
		if !endpointStats(t, p, "a:1").Ejected || len(j.of(core.EventEndpointEjected)) != 1 {
			t.Errorf("it is not ejected, or often: %+v", j.of(core.EventEndpointEjected))
		}
		well := time.Now()
		for endpointStats(t, p, "a:1").Ejected {
			if traffic(t, p, 10*time.Millisecond, ""); time.Since(well) > 16*time.Second {
				t.Fatal("it does not return")
			}
		}
		if back := j.of(core.EventEndpointReadmitted); len(back) != 1 || back[0].Endpoint != "a:1" {
			t.Errorf("events %+v", back)
		}
		if n := traffic(t, p, 10*time.Second, "")["a:1"]; n < 200 {
			t.Errorf("of 1000 calls the server that returned got %d", n)
		}
	})
}

func TestLeaseTellsThatItsServerIsOnTrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFleet(t, "a:1", "b:1", "c:1").pool()
		eject(t, p, "b:1")
		for addr, want := range map[string]bool{"a:1": false, "b:1": true} {
			l := get(t, p, core.WithEndpoint(addr))
			if l.Probe() != want {
				t.Errorf("%s is on trial: %v", addr, l.Probe())
			}
			release(t, l)
		}
		if (core.Lease[*link]{}).Probe() {
			t.Error("the zero lease is on trial")
		}
	})
}

func TestCallThatWaitsIsNotServedByAnEjectedServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1", "c:1")
		p := f.pool(core.MaxActive(1))
		eject(t, p, "a:1") // it has a connection, which is idle
		onB, onC := get(t, p, core.WithEndpoint("b:1")), get(t, p, core.WithEndpoint("c:1"))
		waiting := background(t.Context(), p)
		named := background(t.Context(), p, core.WithEndpoint("a:1"))
		synctest.Wait()
		waits(t, waiting)
		release(t, served(t, named)) // one that wants just it can have it
		synctest.Wait()
		waits(t, waiting)
		release(t, onB)
		synctest.Wait()
		l := served(t, waiting)
		if l.Endpoint().Addr != "b:1" {
			t.Errorf("served by %s", l.Endpoint().Addr)
		}
		release(t, l, onC)
	})
}

func TestCallGoesToAnEjectedServerWhenTheOthersAreDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1")
		p := f.pool()
		eject(t, p, "a:1")
		f.server("b:1").dialed(refuse)
		l := get(t, p)
		if l.Endpoint().Addr != "a:1" {
			t.Errorf("served by %s", l.Endpoint().Addr)
		}
		release(t, l)
		time.Sleep(time.Second)
		if endpointStats(t, p, "a:1").Ejected {
			t.Error("the last server is ejected")
		}
	})
}

func TestCallThatWaitedForAServerThatIsEjectedGoesElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1", "c:1")
		p := f.pool(core.MaxActive(1))
		var key string
		var l core.Lease[*link]
		for _, key = range []string{"k", "l", "m", "n", "o", "p", "q", "r"} {
			if l = get(t, p, core.WithKey(key)); l.Endpoint().Addr == "a:1" {
				break
			}
			release(t, l)
		}
		waiting := background(t.Context(), p, core.WithKey(key))
		synctest.Wait()
		waits(t, waiting)
		fail(l, 3)
		synctest.Wait()
		moved := served(t, waiting)
		if moved.Endpoint().Addr == "a:1" {
			t.Error("it was served by the ejected server")
		}
		release(t, moved, l)
	})
}

func TestFewChoicesCallNoEjectedServer(t *testing.T) {
	for _, choices := range []int{1, 2, 8} {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, "a:1", "b:1", "c:1", "d:1", "e:1", "f:1")
			p := f.pool(core.WithBalancer(balance.LeastLatency(balance.LeastLatencyConfig{Choices: choices})))
			traffic(t, p, 5*time.Second, "a:1")
			if n := traffic(t, p, time.Minute, "a:1")["a:1"]; n > 20 {
				t.Errorf("%d choices: %d calls to a server that fails all", choices, n)
			}
		})
	}
}

func TestServerThatIsTriedAgainKeepsNoCallWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1", "c:1")
		p := f.pool()
		traffic(t, p, 5*time.Second, "")
		for !endpointStats(t, p, "a:1").Ejected {
			traffic(t, p, 100*time.Millisecond, "a:1") // its connections are discarded
		}
		f.server("a:1").dialed(slow(400 * time.Millisecond))
		for range 3000 {
			begun := time.Now()
			release(t, get(t, p))
			if d := time.Since(begun); d > 0 {
				t.Fatalf("a call waited %v for a server that is ejected", d)
			}
			time.Sleep(time.Millisecond)
		}
	})
}

// TestCallThatFailedIsNoProbe: neither an ejected server nor, as a rule, one that
// fails gets a call that has failed elsewhere.
func TestCallThatFailedIsNoProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFleet(t, "a:1", "b:1", "c:1", "d:1").pool()
		traffic(t, p, 2*time.Second, "")
		eject(t, p, "a:1")
		b := get(t, p, core.WithEndpoint("b:1"))
		fail(b, 1)
		release(t, b)
		time.Sleep(time.Second) // a is due for a probe
		probed, failing := 0, 0
		for range 1000 {
			l := get(t, p, core.WithoutEndpoint("d:1"))
			switch l.Endpoint().Addr {
			case "a:1":
				probed++
			case "b:1":
				failing++
			}
			release(t, l)
		}
		if probed > 0 || failing > 300 { // its looks are random
			t.Errorf("of 1000 calls that had failed an ejected server got %d, one that fails %d", probed, failing)
		}
		l := get(t, p)
		if l.Endpoint().Addr != "a:1" || !l.Probe() {
			t.Errorf("the next call goes to %s and not to the server that is due for a probe", l.Endpoint().Addr)
		}
		release(t, l)
	})
}

// A server that hung is killed and begun again: its connections have ended.
func TestEjectedServerHasAConnectionReadyThatIsGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1", "c:1")
		p := f.peekPool()
		l, err := p.Get(t.Context(), core.WithEndpoint("b:1"))
		if err != nil {
			t.Fatal(err)
		}
		for k := range 3 {
			if k > 0 {
				time.Sleep(patience)
			}
			l.Report(balance.Report{Outcome: balance.OutcomeFailure, Latency: time.Millisecond})
		}
		if err := l.Release(); err != nil || !endpointStats(t, p, "b:1").Ejected {
			t.Fatalf("error %v; or it is not ejected", err)
		}
		l.Conn().fails(func(context.Context) error { return io.EOF })
		time.Sleep(patience) // no call is made
		synctest.Wait()
		if e := endpointStats(t, p, "b:1"); !e.Ejected || e.Closed != 1 || e.Idle != 1 || e.Dials != 2 {
			t.Errorf("%+v", e)
		}
	})
}

func TestNothingIsEjectedWithoutOutlierDetection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1", "c:1")
		p := f.pool(core.WithoutOutlierDetection())
		l := get(t, p, core.WithEndpoint("a:1"))
		for range 100 {
			l.Report(balance.Report{Outcome: balance.OutcomeFailure})
		}
		if endpointStats(t, p, "a:1").Ejected {
			t.Error("it is ejected")
		}
		release(t, l)
	})
}

func TestEjectionGoesByItsParameters(t *testing.T) {
	for _, c := range []struct {
		name string
		e    outlier.Config
		want int // failures that eject
	}{
		{"the defaults", outlier.Config{}, 3},
		{"quick", outlier.Config{EvidenceThreshold: 2}, 2}, // none at the first,
		{"slow", outlier.Config{EvidenceThreshold: 1e18}, 8},
		{"never", outlier.Config{MaxEjectionPercent: 10}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, "a:1", "b:1", "c:1")
				p := f.pool(core.WithOutlierDetection(c.e))
				l := get(t, p, core.WithEndpoint("a:1"))
				n := 0
				for !endpointStats(t, p, "a:1").Ejected && n < 100 {
					n++
					l.Report(balance.Report{Outcome: balance.OutcomeFailure})
					time.Sleep(patience)
				}
				if n != c.want && c.want != 0 || c.want == 0 && n < 100 {
					t.Errorf("ejected after %d failures, want %d", n, c.want)
				}
				release(t, l)
			})
		})
	}
}

func TestServerThatIsDrainedGetsNoCallsAndKeepsNoConnectionUntilItIsReadmitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1", "c:1")
		j := new(journal)
		p := f.pool(core.WithObserver(j.Observe), core.MinIdle(2))
		traffic(t, p, time.Second, "")
		leased := get(t, p, core.WithEndpoint("a:1"))
		if err := p.Drain("a:1"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if st := endpointStats(t, p, "a:1"); !st.Ejected || st.Open != 1 || st.InUse != 1 {
			t.Errorf("the lease lost its connection, or others stay: %+v", st)
		}
		release(t, leased)
		if n := traffic(t, p, time.Minute, "")["a:1"]; n != 0 || endpointStats(t, p, "a:1").Open != 0 {
			t.Errorf("it got %d calls: %+v", n, endpointStats(t, p, "a:1"))
		}
		if err := p.Readmit("a:1"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if st := endpointStats(t, p, "a:1"); st.Idle != 2 {
			t.Errorf("it is readmitted and has not what MinIdle says: %+v", st)
		}
		if n := traffic(t, p, time.Minute, "")["a:1"]; n == 0 {
			t.Error("it gets no calls after it was readmitted")
		}
		synctest.Wait()
		out, back := j.of(core.EventEndpointEjected), j.of(core.EventEndpointReadmitted)
		if len(out) != 1 || len(back) != 1 || out[0].Err == nil || back[0].Err == nil || back[0].Duration < time.Minute {
			t.Errorf("events %+v, %+v", out, back)
		}
	})
}

func TestServerThatIsEjectedKeepsItsConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1", "c:1")
		p := f.pool()
		release(t, get(t, p, core.WithEndpoint("a:1")))
		if err := p.Eject("a:1"); err != nil {
			t.Fatal(err)
		}
		if st := endpointStats(t, p, "a:1"); !st.Ejected || st.Idle != 1 {
			t.Errorf("%+v", st)
		}
	})
}

func TestWhatCannotBeEjectedIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFleet(t, "a:1").pool()
		without := newFleet(t, "a:1", "b:1").pool(core.WithoutOutlierDetection())
		release(t, get(t, p))
		release(t, get(t, without))
		for _, act := range []func(*core.Pool[*link], string) error{(*core.Pool[*link]).Eject, (*core.Pool[*link]).Drain} {
			if err := act(p, "a:1"); err == nil || endpointStats(t, p, "a:1").Ejected || endpointStats(t, p, "a:1").Idle != 1 {
				t.Errorf("the only server: %v", err)
			}
			if err := act(p, "z:1"); !errors.Is(err, core.ErrNoEndpoint) {
				t.Errorf("a server that is not there: %v", err)
			}
			if err := act(without, "a:1"); err == nil {
				t.Error("a pool without outlier detection: no error")
			}
		}
		if err := p.Readmit("z:1"); !errors.Is(err, core.ErrNoEndpoint) {
			t.Errorf("a server that is not there: %v", err)
		}
		if err := p.Readmit("a:1"); err != nil { // which is in service
			t.Error(err)
		}
	})
}
