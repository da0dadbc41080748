package core_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/outlier"
)

var errApplication = errors.New("user 42 has no credit")

func TestDefaultClassifierBlamesAServerOnlyForErrorsOfItsConnection(t *testing.T) {
	for _, c := range []struct {
		err  error
		want balance.Outcome
	}{
		{nil, balance.OutcomeOK},
		{errApplication, balance.OutcomeNeutral},
		{fmt.Errorf("decode: %w", errors.ErrUnsupported), balance.OutcomeNeutral},
		{context.Canceled, balance.OutcomeCanceled},
		{context.DeadlineExceeded, balance.OutcomeFailure},
		{fmt.Errorf("read: %w", io.EOF), balance.OutcomeFailure},
		{io.ErrUnexpectedEOF, balance.OutcomeFailure},
		{io.ErrClosedPipe, balance.OutcomeFailure},
		{net.ErrClosed, balance.OutcomeFailure},
		{syscall.ECONNRESET, balance.OutcomeFailure},
		{&net.OpError{Op: "read", Err: syscall.EPIPE}, balance.OutcomeFailure},
		{&net.DNSError{Err: "no such host"}, balance.OutcomeFailure},
		{core.Answered(io.EOF), balance.OutcomeOK},
		{fmt.Errorf("wrapped: %w", core.Answered(errApplication)), balance.OutcomeOK},
	} {
		if got := classified(t, c.err); got != c.want {
			t.Errorf("%v is %v, want %v", c.err, got, c.want)
		}
	}
}

// classified returns what a pool makes of the error of a call.
func classified(t *testing.T, err error) balance.Outcome {
	t.Helper()
	b := preferring("a:1")
	p := newFleet(t, "a:1").pool(core.WithBalancer(b))
	_ = p.Do(t.Context(), func(context.Context, *link) error { return err })
	return b.told()[0].Outcome
}

func TestAnsweredErrorReadsAndMatchesAsBefore(t *testing.T) {
	err := core.Answered(errApplication)
	if err.Error() != errApplication.Error() || !errors.Is(err, errApplication) || core.Answered(nil) != nil {
		t.Errorf("%v", err)
	}
}

// TestApplicationErrorsEjectNobody makes calls of which those with one key end
// with an error of the application.
func TestApplicationErrorsEjectNobody(t *testing.T) {
	for name, mark := range map[string]func(error) error{
		"unmarked": func(err error) error { return err },
		"answered": core.Answered,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, j := newFleet(t, "a:1", "b:1", "c:1"), new(journal)
				p := f.peekPool(core.WithObserver(j.Observe))
				for k := range 400 {
					_ = p.Do(t.Context(), func(context.Context, peekLink) error {
						if time.Sleep(time.Millisecond); k%2 == 0 {
							return mark(errApplication)
						}
						return nil
					}, core.WithKeyHash(uint64(k%2)))
				}
				if ev := j.of(core.EventEndpointEjected); len(ev) > 0 {
					t.Errorf("ejected: %+v", ev)
				}
				if _, closed := f.counts(); closed > 0 {
					t.Errorf("%d connections were closed", closed)
				}
			})
		})
	}
}

func TestConnectionIsKeptAfterANeutralOutcomeOnlyIfItSaysItIsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.peekPool()
		call := func(broken bool) {
			_ = p.Do(t.Context(), func(_ context.Context, l peekLink) error {
				if broken {
					l.fails(func(context.Context) error { return errors.New("bytes left over") })
				}
				return errApplication
			})
			synctest.Wait()
		}
		call(false)
		f.wantCounts(1, 0)
		call(true)
		f.wantCounts(1, 1)
		q := newFleet(t, "b:1")
		cannotTell := q.pool()
		_ = cannotTell.Do(t.Context(), func(context.Context, *link) error { return errApplication })
		synctest.Wait()
		q.wantCounts(1, 1)
	})
}

func TestEndClassifiesReportsAndKeepsOrCloses(t *testing.T) {
	for _, c := range []struct {
		err   error
		want  balance.Outcome
		keeps bool
	}{
		{nil, balance.OutcomeOK, true},
		{core.Answered(errApplication), balance.OutcomeOK, true},
		{errApplication, balance.OutcomeNeutral, false}, // a link cannot tell whether it is in order
		{io.EOF, balance.OutcomeFailure, false},
		{context.Canceled, balance.OutcomeCanceled, false},
	} {
		t.Run(fmt.Sprint(c.err), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, b := newFleet(t, "a:1"), preferring("a:1")
				p := f.pool(core.WithBalancer(b))
				l := get(t, p)
				l.Conn().unuse()
				time.Sleep(30 * time.Millisecond)
				if err := l.End(c.err); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				if l.Conn() != nil && f.conns()[0].closed.Load() == c.keeps {
					t.Errorf("closed: %v", !c.keeps)
				}
				want := balance.Report{Outcome: c.want, Latency: 30 * time.Millisecond, At: 30 * time.Millisecond}
				if got := b.told(); len(got) != 1 || got[0] != want {
					t.Errorf("reports %+v, want %+v", got, want)
				}
				if err := l.End(c.err); !errors.Is(err, core.ErrStaleLease) {
					t.Errorf("the second End says %v", err)
				}
				if got := b.told(); len(got) != 1 {
					t.Errorf("the second End reported again: %+v", got)
				}
			})
		})
	}
	if err := (core.Lease[*link]{}).End(nil); !errors.Is(err, core.ErrStaleLease) {
		t.Errorf("End of the zero lease says %v", err)
	}
}

// TestEndMeasuresALeasePerSecondAndConnection: the time of a plain lease is not
// worth reading a clock for, but a balancer that hears of none is blind.
func TestEndOfALeaseThatEndsMeanwhileIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, outcome := range []balance.Outcome{balance.OutcomeOK, balance.OutcomeFailure} {
			var l core.Lease[*link]
			p := newFleet(t, "a:1").pool(core.WithClassifier(func(error) balance.Outcome {
				_ = l.Release() // as another goroutine would
				return outcome
			}))
			l = get(t, p)
			l.Conn().unuse()
			if err := l.End(nil); !errors.Is(err, core.ErrStaleLease) {
				t.Errorf("%v: error %v", outcome, err)
			}
			warm(t, p, 1) // the connection is in order
			if st := endpointStats(t, p, "a:1"); st.Dials != 1 || st.InUse != 0 {
				t.Errorf("%v: %+v", outcome, st)
			}
		}
	})
}

func TestEndMeasuresALeasePerSecondAndConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := preferring("a:1")
		p := newFleet(t, "a:1").pool(core.WithBalancer(b))
		for range 1000 { // ten seconds
			l := get(t, p)
			l.Conn().unuse()
			time.Sleep(10 * time.Millisecond)
			if err := l.End(nil); err != nil {
				t.Fatal(err)
			}
		}
		timed := 0
		for _, r := range b.told() {
			switch r.Latency {
			case 0:
			case 10 * time.Millisecond:
				timed++
			default:
				t.Errorf("a latency of %v", r.Latency)
			}
		}
		if len(b.told()) != 1000 || timed < 8 || timed > 12 {
			t.Errorf("%d reports, %d with a latency; want 1000 and about 10", len(b.told()), timed)
		}
	})
}

func TestLatencyBeginsWithTheLeaseAndNotWithWaitReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := preferring("a:1")
		p := newFleet(t, "a:1").pool(core.WithBalancer(b))
		if err := p.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		l := get(t, p)
		l.Conn().unuse()
		time.Sleep(10 * time.Millisecond)
		if err := l.End(nil); err != nil {
			t.Fatal(err)
		}
		if told := b.told(); len(told) != 1 || told[0].Latency != 10*time.Millisecond {
			t.Errorf("reports %+v", told)
		}
	})
}

func TestCallReturnsTheValueOfTheAttemptThatCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFleet(t, "a:1", "b:1").pool()
		n := 0
		addr, err := core.Call(t.Context(), p, func(_ context.Context, l *link) (string, error) {
			if n++; n == 1 {
				return "of the first", errBroken
			}
			return l.server.addr, nil
		}, core.Attempts(2))
		if err != nil || addr != "a:1" && addr != "b:1" || n != 2 {
			t.Errorf("%q, %v after %d calls", addr, err, n)
		}
		value, err := core.Call(t.Context(), p, func(context.Context, *link) (int, error) { return 7, errApplication })
		if value != 7 || !errors.Is(err, errApplication) {
			t.Errorf("a value beside an error: %d, %v", value, err)
		}
		closeNow(t, p)
		if _, err := core.Call(t.Context(), p, func(context.Context, *link) (int, error) { return 1, nil }); !errors.Is(err, core.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestCallThatMayBeRepeatedIsRepeatedOnTheOnlyServer(t *testing.T) {
	for _, c := range []struct {
		name          string
		down, ejected []string
	}{{"the only one", nil, nil}, {"others are down", []string{"b:1", "c:1"}, nil}, {"others are ejected", nil, []string{"b:1", "c:1"}}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, slices.Concat([]string{"a:1"}, c.down, c.ejected)...)
				p := f.pool(core.WithOutlierDetection(outlier.Config{EvidenceThreshold: 1e300, MaxEjectionPercent: 99}))
				for _, addr := range c.down {
					f.server(addr).dialed(refuse)
					if _, err := p.Get(t.Context(), core.WithEndpoint(addr)); err == nil {
						t.Fatalf("%s is up", addr)
					}
				}
				for _, addr := range c.ejected {
					if err := p.Do(t.Context(), func(context.Context, *link) error { return nil }, core.WithEndpoint(addr)); err != nil {
						t.Fatal(err)
					}
					if err := p.Eject(addr); err != nil {
						t.Fatal(err)
					}
				}
				servers, err := tries(t.Context(), p, always(errBroken), core.Attempts(3))
				if len(servers) != 3 || !errors.Is(err, errBroken) {
					t.Errorf("called %v, error %v; want three calls", servers, err)
				}
				n := 0
				if err := p.Do(t.Context(), func(context.Context, *link) error {
					if n++; n < 3 {
						return errBroken
					}
					return nil
				}, core.Attempts(3)); err != nil {
					t.Errorf("the third call went well, and the error is %v", err)
				}
			})
		})
	}
}

// TestAnswersWithoutALatencyShowThatAServerIsAlive: most leases that End are not
// timed, and a healthy server must not look stalled for that.
func TestAnswersWithoutALatencyShowThatAServerIsAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errBusy := errors.New("busy")
		p := newFleet(t, "busy:1", "healthy:1").pool(core.WithClassifier(func(err error) balance.Outcome {
			if errors.Is(err, errBusy) {
				return balance.OutcomeOverload
			}
			return core.Classify(err)
		}))
		got := map[string]int{}
		call := func() {
			l := get(t, p)
			l.Conn().unuse()
			addr, err := l.Endpoint().Addr, error(nil)
			got[addr]++
			if time.Sleep(2 * time.Millisecond); addr == "busy:1" {
				err = errBusy
			}
			if err := l.End(err); err != nil {
				t.Fatal(err)
			}
		}
		for range 1000 { // until both are known
			call()
		}
		clear(got)
		for range 5000 {
			call()
		}
		if n := got["busy:1"]; n > 250 {
			t.Errorf("a server that is overloaded got %d of 5000 calls", n)
		}
	})
}
