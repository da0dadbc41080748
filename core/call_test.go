package core_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

func TestDoClassifiesReportsAndKeepsOrDiscards(t *testing.T) {
	overload := errors.New("too much to do")
	application := errors.New("no such user")
	classifier := core.WithClassifier(func(err error) balance.Outcome {
		switch {
		case err == nil, errors.Is(err, application):
			return balance.OutcomeOK
		case errors.Is(err, overload):
			return balance.OutcomeOverload
		default:
			return balance.OutcomeNeutral
		}
	})
	for _, c := range []struct {
		err   error
		opts  []core.Option
		class balance.Outcome
		keeps bool
	}{
		{nil, nil, balance.OutcomeOK, true},
		{io.EOF, nil, balance.OutcomeFailure, false},
		{application, nil, balance.OutcomeNeutral, false},
		{core.Answered(application), nil, balance.OutcomeOK, true},
		{core.Answered(application), []core.Option{core.WithClassifier(func(error) balance.Outcome { return balance.OutcomeFailure })}, balance.OutcomeOK, true},
		{context.DeadlineExceeded, nil, balance.OutcomeFailure, false},
		{fmt.Errorf("call: %w", context.Canceled), nil, balance.OutcomeCanceled, false},
		{nil, []core.Option{classifier}, balance.OutcomeOK, true},
		{application, []core.Option{classifier}, balance.OutcomeOK, true},
		{overload, []core.Option{classifier}, balance.OutcomeOverload, true},
		{io.EOF, []core.Option{classifier}, balance.OutcomeNeutral, false},
		{io.EOF, []core.Option{core.WithClassifier(func(error) balance.Outcome { panic("in the classifier") })}, balance.OutcomeFailure, false},
	} {
		t.Run(fmt.Sprintf("%v is %v", c.err, c.class), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, "a:1")
				b := preferring("a:1")
				p := f.pool(append(c.opts, core.WithBalancer(b))...)
				type key struct{}
				ctx := context.WithValue(t.Context(), key{}, 1)
				var used *link
				err := p.Do(ctx, func(ctx context.Context, l *link) error {
					l.use()
					defer l.unuse()
					used = l
					if ctx.Value(key{}) == nil {
						t.Error("the context is not the caller's")
					}
					time.Sleep(123 * time.Millisecond)
					return c.err
				})
				if !errors.Is(err, c.err) {
					t.Errorf("error %v, want that of the call", err)
				}
				synctest.Wait()
				if used.closed.Load() == c.keeps {
					t.Errorf("closed: %v", used.closed.Load())
				}
				want := balance.Report{Outcome: c.class, Latency: 123 * time.Millisecond, At: 123 * time.Millisecond}
				if got := b.told(); len(got) != 1 || got[0] != want {
					t.Errorf("reports %+v, want %+v", got, want)
				}
			})
		})
	}
}

func TestDoWithoutAConnectionReturnsTheErrorOfGet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		f.server("a:1").dialed(refuse)
		p := f.pool()
		err := p.Do(t.Context(), func(context.Context, *link) error {
			t.Error("the call was made")
			return nil
		})
		if !errors.Is(err, core.ErrUnavailable) || !errors.Is(err, errRefused) {
			t.Errorf("error %v, want ErrUnavailable and the dial's", err)
		}
	})
}

func TestCallThatPanicsOrEndsItsGoroutineDiscardsItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool(core.MaxActive(1))
		for _, how := range []func(){func() { panic("in the call") }, runtime.Goexit} {
			recovered := make(chan any)
			go func() {
				defer func() { recovered <- recover() }()
				_ = p.Do(t.Context(), func(context.Context, *link) error {
					how()
					return nil
				})
			}()
			if v := <-recovered; v != nil && v != "in the call" {
				t.Errorf("recovered %v", v)
			}
		}
		synctest.Wait()
		f.wantCounts(2, 2)
		if err := p.Do(t.Context(), func(context.Context, *link) error { return nil }); err != nil {
			t.Error(err)
		}
	})
}

// TestObserverOrClassifierThatEndsItsGoroutineHarmsNothing is about testing's
// FailNow, which does so.
func TestObserverOrClassifierThatEndsItsGoroutineHarmsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		var events atomic.Int64
		classified := 0
		p := f.pool(core.MaxActive(1), core.IdleTimeout(time.Minute), core.RemovalGrace(0),
			core.WithObserver(func(core.Event) { runtime.Goexit() }),
			core.WithObserver(func(core.Event) { events.Add(1) }),
			core.WithClassifier(func(error) balance.Outcome {
				if classified++; classified == 1 {
					runtime.Goexit()
				}
				return balance.OutcomeOK
			}))
		call := func() {
			done := make(chan struct{})
			go func() {
				defer close(done)
				_ = p.Do(within(t, time.Minute), func(context.Context, *link) error { return nil })
			}()
			<-done
		}
		call() // its lease must not be lost
		call()
		if st := endpointStats(t, p, "a:1"); classified != 2 || st.InUse != 0 {
			t.Errorf("%d calls were classified, %d connections are in use", classified, st.InUse)
		}
		f.report("a:1", "b:1") // the set is followed
		time.Sleep(time.Second)
		if p.Len() != 2 || events.Load() == 0 {
			t.Errorf("%d endpoints, %d events", p.Len(), events.Load())
		}
		time.Sleep(2 * time.Minute) // the janitor works
		if st := endpointStats(t, p, "a:1"); st.Open != 0 {
			t.Errorf("%d connections are open", st.Open)
		}
	})
}

func TestPickerThatPanicsOverAReportKeepsNoConnectionFromThePool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool(core.MaxActive(1), core.WithBalancer(panicking{}))
		for range 3 {
			func() {
				defer func() { _ = recover() }()
				_ = p.Do(t.Context(), func(context.Context, *link) error { return nil })
			}()
		}
		synctest.Wait()
		if st := endpointStats(t, p, "a:1"); st.InUse != 0 || st.Calls != 3 {
			t.Errorf("%+v, want none in use after 3 calls", st)
		}
	})
}

// panicking is a Balancer whose pickers panic at each report.
type panicking struct{}

func (b panicking) Build(balance.Picker, []balance.Member) balance.Picker { return b }
func (panicking) Pick(balance.PickInfo) int                               { return 0 }
func (panicking) Report(int, balance.Report)                              { panic("in the picker") }

func TestObserverIsToldWhatHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		j := new(journal)
		p := f.pool(core.WithObserver(j.Observe))
		f.server("a:1").dialed(func(ctx context.Context) error {
			_ = sleep(ctx, time.Second)
			return errRefused
		})
		_, _ = p.Get(t.Context())
		f.server("a:1").dialed(slow(2 * time.Second))
		time.Sleep(10 * time.Second)
		l := get(t, p)
		l.Conn().unuse()
		_ = l.Discard(io.EOF)
		synctest.Wait()
		for _, want := range []core.Event{
			{Kind: core.EventStateChanged, State: core.StateReady},
			{Kind: core.EventEndpointAdded, Endpoint: "a:1"},
			{Kind: core.EventDialFailed, Endpoint: "a:1", Err: errRefused, Duration: time.Second},
			{Kind: core.EventEndpointDown, Endpoint: "a:1", Err: errRefused},
			{Kind: core.EventDialed, Endpoint: "a:1", Duration: 2 * time.Second},
			{Kind: core.EventEndpointUp, Endpoint: "a:1"},
			{Kind: core.EventConnClosed, Endpoint: "a:1", Err: io.EOF},
		} {
			got := j.of(want.Kind)
			if len(got) != 1 || got[0].Endpoint != want.Endpoint || !errors.Is(got[0].Err, want.Err) ||
				got[0].Duration != want.Duration || got[0].State != want.State {
				t.Errorf("%v: %+v, want one %+v", want.Kind, got, want)
			}
		}
	})
}

func TestObserverThatPanicsHarmsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1")
		f.server("b:1").dialed(refuse)
		p := f.pool(core.WithObserver(grumpy{}.Observe), core.LeakDetectionThreshold(time.Second), core.RemovalGrace(0))
		_, _ = p.Get(t.Context(), core.WithEndpoint("b:1"))
		l := get(t, p)
		time.Sleep(10 * time.Second)
		l.Conn().unuse()
		_ = l.Discard(nil)
		release(t, get(t, p))
		f.report("a:1")
		release(t, get(t, p))
	})
}

type grumpy struct{}

func (grumpy) Observe(core.Event) { panic("in the observer") }

func TestOnGoesToThatServerAndToNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1", "down:1")
		f.server("down:1").dialed(refuse)
		p := f.pool(core.MaxActive(1))
		l := get(t, p, core.WithEndpoint("b:1"))
		if a := l.Endpoint().Addr; a != "b:1" {
			t.Errorf("served by %s", a)
		}
		second := background(t.Context(), p, core.WithEndpoint("b:1"))
		synctest.Wait()
		waits(t, second) // although a is idle
		release(t, get(t, p, core.WithEndpoint("a:1")))
		synctest.Wait()
		waits(t, second)
		if _, err := p.Get(t.Context(), core.WithEndpoint("nowhere:1")); !errors.Is(err, core.ErrNoEndpoint) || asError(t, err).Endpoint != "nowhere:1" {
			t.Errorf("a server that is not in the set: %v", err)
		}
		if _, err := p.Get(t.Context(), core.WithEndpoint("down:1")); !errors.Is(err, core.ErrUnavailable) || !errors.Is(err, errRefused) {
			t.Errorf("a server that is down: %v", err)
		}
		// Nor does it matter that others wait in vain.
		held := get(t, p, core.WithEndpoint("a:1"))
		third := background(t.Context(), p)
		synctest.Wait()
		if _, err := p.Get(t.Context(), core.WithEndpoint("down:1")); !errors.Is(err, core.ErrUnavailable) {
			t.Errorf("a server that is down, while others wait: %v", err)
		}
		if _, err := p.Get(t.Context(), core.WithEndpoint("nowhere:1")); !errors.Is(err, core.ErrNoEndpoint) {
			t.Errorf("a server that is not in the set, while others wait: %v", err)
		}
		release(t, l)
		synctest.Wait()
		release(t, served(t, second))
		synctest.Wait()
		release(t, served(t, third), held)
	})
}

func TestAvoidGoesElsewhereWhileAnotherIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1", "c:1")
		p := f.pool(core.MaxActive(1), core.WithBalancer(preferring("a:1")))
		for range 20 {
			l := get(t, p, core.WithoutEndpoint("a:1"))
			if l.Endpoint().Addr == "a:1" {
				t.Error("served by the one to avoid")
			}
			release(t, l)
			l = get(t, p, core.WithoutEndpoint("a:1"), core.WithoutEndpoint("b:1"), core.WithoutEndpoint("a:1"), core.WithoutEndpoint("a:1"))
			if l.Endpoint().Addr != "c:1" {
				t.Errorf("served by %s, want the only one left", l.Endpoint().Addr)
			}
			release(t, l)
			l = get(t, p, core.WithoutEndpoint("c:1"), core.WithoutEndpoint("a:1"), core.WithoutEndpoint("x:1"), core.WithoutEndpoint("b:1"), core.WithoutEndpoint("y:1"))
			if l.Endpoint().Addr != "c:1" {
				t.Errorf("served by %s, want the one that five wishes ago was to avoid", l.Endpoint().Addr)
			}
			release(t, l)
			release(t, get(t, p, core.WithoutEndpoint("a:1"), core.WithoutEndpoint("b:1"), core.WithoutEndpoint("c:1")))
		}
		// It waits for one that is busy rather than take the idle one.
		busy := getMany(t, p, 1, core.WithEndpoint("b:1"))
		busy = append(busy, get(t, p, core.WithEndpoint("c:1")))
		waiting := background(t.Context(), p, core.WithoutEndpoint("a:1"))
		synctest.Wait()
		waits(t, waiting)
		release(t, busy[1])
		synctest.Wait()
		release(t, served(t, waiting), busy[0])
	})
}

func TestAvoidTakesWhatThereIsWhenNoOtherIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1", "c:1")
		for _, a := range []string{"b:1", "c:1"} {
			f.server(a).dialed(refuse)
		}
		p := f.pool(core.MaxActive(1))
		begun := time.Now()
		for range 5 {
			release(t, get(t, p, core.WithoutEndpoint("a:1")))
		}
		l := get(t, p, core.WithoutEndpoint("a:1"))
		waiting := background(t.Context(), p, core.WithoutEndpoint("a:1"))
		synctest.Wait()
		waits(t, waiting)
		release(t, l)
		synctest.Wait()
		release(t, served(t, waiting))
		if d := time.Since(begun); d != 0 {
			t.Errorf("took %v", d)
		}
		// One comes up while a call waits: it is the better choice.
		l = get(t, p)
		waiting = background(t.Context(), p, core.WithoutEndpoint("a:1"))
		synctest.Wait()
		f.server("b:1").dialed(nil)
		time.Sleep(time.Second)
		if other := served(t, waiting); other.Endpoint().Addr != "b:1" {
			t.Errorf("served by %s", other.Endpoint().Addr)
		} else {
			release(t, other)
		}
		release(t, l)
	})
}

func TestKeyStaysWithItsServerAndMovesOnlyWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1", "c:1", "d:1")
		p := f.pool(core.RemovalGrace(0))
		owners := func() map[string]string {
			m := map[string]string{}
			for i := range 200 {
				k := fmt.Sprint("key", i)
				for range 2 {
					l := get(t, p, core.WithKey(k))
					if a := l.Endpoint().Addr; m[k] != "" && m[k] != a {
						t.Errorf("%s is with %s and with %s", k, m[k], a)
					}
					m[k] = l.Endpoint().Addr
					release(t, l)
				}
			}
			return m
		}
		moved := func(from, to map[string]string, which func(owner string) bool) {
			t.Helper()
			for k, a := range from {
				if (to[k] != a) != which(a) {
					t.Errorf("%s was with %s and is with %s", k, a, to[k])
				}
			}
		}
		before := owners()
		share := map[string]int{}
		for _, a := range before {
			share[a]++
		}
		for a, n := range share {
			if n < 25 || n > 75 {
				t.Errorf("%d of 200 keys are with %s, one of 4", n, a)
			}
		}
		f.report("a:1", "c:1", "d:1")
		moved(before, owners(), func(a string) bool { return a == "b:1" })
		f.report("a:1", "b:1", "c:1", "d:1")
		moved(before, owners(), func(string) bool { return false })
		f.server("c:1").dialed(refuse)
		p.Reset()
		moved(before, owners(), func(a string) bool { return a == "c:1" })
		f.server("c:1").dialed(nil)
		time.Sleep(time.Minute)
		moved(before, owners(), func(string) bool { return false })
	})
}

func TestStatsTellWhatThePoolIsDoing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		set := []core.Endpoint{{Addr: "a:1", Weight: 2, Zone: "z"}, {Addr: "down:1"}}
		f.server("down:1").dialed(refuse)
		p := f.pool(core.MaxActive(3), core.DialTimeout(time.Hour))
		started := time.Now()
		if st := p.Stats(); st.State != core.StatePending || len(st.Endpoints) != 0 || !st.Since.Equal(started) {
			t.Errorf("%+v, want pending since the start", st)
		}
		f.reports <- set
		synctest.Wait()
		_, _ = p.Get(t.Context(), core.WithEndpoint("down:1"))
		three := getMany(t, p, 3, core.WithEndpoint("a:1"))
		waiting := background(t.Context(), p, core.WithEndpoint("a:1"))
		time.Sleep(2 * time.Second)
		if n := p.Stats().Waiting; n != 1 {
			t.Errorf("%d calls wait, want 1", n)
		}
		before := p.Stats()
		release(t, three[0])
		synctest.Wait()
		l := served(t, waiting)
		three[1].Conn().unuse()
		_ = three[1].Discard(nil)
		f.server("a:1").dialed(slow(time.Minute))
		last := []<-chan result[*link]{background(t.Context(), p), background(t.Context(), p)}
		synctest.Wait()
		three[2].Conn().onClose = func() { time.Sleep(time.Minute) } // one is closed slowly, one dialed slowly
		three[2].Conn().unuse()
		_ = three[2].Discard(nil)
		release(t, l)
		synctest.Wait()
		st := p.Stats()
		if st.Waits != before.Waits+2 || st.WaitTime != before.WaitTime+2*time.Second || st.State != core.StateReady || !st.Since.Equal(started) {
			t.Errorf("%+v after %+v, want two more that waited, for 2s in all", st, before)
		}
		a := endpointStats(t, p, "a:1")
		if !a.Endpoint.Equal(set[0]) || a.Open != 1 || a.InUse != 1 || a.Idle != 0 || a.Dialing != 1 || a.Closing != 1 ||
			a.Down || a.LastDial != nil || a.Calls != 4 || a.Dials != 3 || a.DialFailures != 0 || a.Closed != 1 {
			t.Errorf("%+v", a)
		}
		if d := endpointStats(t, p, "down:1"); !d.Down || !errors.Is(d.LastDial, errRefused) || d.DialFailures < 1 || d.Open != 0 {
			t.Errorf("%+v", d)
		}
		time.Sleep(2 * time.Minute)
		release(t, served(t, last[0]), served(t, last[1]))
	})
}

func TestStatsTellTheLatencyTheBalancerGoesBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool()
		for range 50 {
			err := p.Do(t.Context(), func(context.Context, *link) error {
				time.Sleep(20 * time.Millisecond)
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
		if d := endpointStats(t, p, "a:1").Latency; d < 19*time.Millisecond || d > 21*time.Millisecond {
			t.Errorf("latency %v, want about 20ms", d)
		}
	})
}

// prefer is a Balancer whose pickers choose the endpoint with this address
// while it is in the set, and remember what they are told.
type prefer struct {
	addr    string
	mu      *sync.Mutex
	reports *[]balance.Report
}

func preferring(addr string) prefer {
	return prefer{addr: addr, mu: new(sync.Mutex), reports: new([]balance.Report)}
}

func (b prefer) Build(_ balance.Picker, members []balance.Member) balance.Picker {
	i := slices.IndexFunc(members, func(m balance.Member) bool { return m.Endpoint.Addr == b.addr })
	return preferPicker{b, i}
}

// told returns the reports so far.
func (b prefer) told() []balance.Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(*b.reports)
}

type preferPicker struct {
	prefer
	i int
}

func (p preferPicker) Pick(balance.PickInfo) int { return p.i }

func (p preferPicker) Report(_ int, r balance.Report) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*p.reports = append(*p.reports, r)
}

func TestCallWithAKeyWaitsForItsOwnServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1")
		p := f.pool(core.MaxActive(1))
		own := get(t, p, core.WithKey("k"))
		other := get(t, p)
		waiting := background(t.Context(), p, core.WithKey("k"))
		synctest.Wait()
		release(t, other)
		synctest.Wait()
		waits(t, waiting)
		release(t, own)
		synctest.Wait()
		again := served(t, waiting)
		if again.Endpoint().Addr != own.Endpoint().Addr {
			t.Errorf("the key moved from %s to %s", own.Endpoint().Addr, again.Endpoint().Addr)
		}
		// Also while a new connection to it is being dialed.
		f.server(own.Endpoint().Addr).dialed(slow(time.Second))
		again.Conn().unuse()
		_ = again.Discard(nil)
		waiting = background(t.Context(), p, core.WithKey("k"))
		synctest.Wait()
		release(t, get(t, p, core.WithoutEndpoint(own.Endpoint().Addr)))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		again = served(t, waiting)
		if again.Endpoint().Addr != own.Endpoint().Addr {
			t.Errorf("the key moved from %s to %s", own.Endpoint().Addr, again.Endpoint().Addr)
		}
		release(t, again)
	})
}

func TestCallWithAKeyThatWaitsMovesWhenItsServerGoesDownOrLeaves(t *testing.T) {
	for name, gone := range map[string]func(f *fleet, own core.Lease[*link], other string){
		"down": func(f *fleet, own core.Lease[*link], _ string) {
			f.server(own.Endpoint().Addr).dialed(refuse)
			_ = own.Discard(nil)
		},
		"left": func(f *fleet, own core.Lease[*link], other string) {
			f.report(other)
			_ = own.Release()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, "a:1", "b:1")
				p := f.pool(core.MaxActive(1), core.RemovalGrace(0))
				own := get(t, p, core.WithKey("k"))
				other := get(t, p)
				waiting := background(t.Context(), p, core.WithKey("k"))
				synctest.Wait()
				own.Conn().unuse()
				gone(f, own, other.Endpoint().Addr)
				synctest.Wait()
				waits(t, waiting)
				release(t, other)
				synctest.Wait()
				l := served(t, waiting)
				if l.Endpoint().Addr != other.Endpoint().Addr {
					t.Errorf("the call was served by %s", l.Endpoint().Addr)
				}
				release(t, l)
			})
		})
	}
}

func TestCallWhoseContextHadEndedSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool()
		warm(t, p, 1)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := p.Get(ctx)
		if e := asError(t, err); !errors.Is(err, context.Canceled) || errors.Is(err, core.ErrExhausted) || !strings.Contains(e.Error(), "1 idle") {
			t.Errorf("error %v", err)
		}
	})
}
