package main

import (
	"bytes"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bufbuild/httplb/conn"
	"github.com/bufbuild/httplb/picker"
	"google.golang.org/grpc/balancer"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/bench/internal/measure"
)

// seen counts the picks and the ends of calls.
type seen struct {
	picked map[any]int
	ended  int
}

type poolSpy struct {
	balance.Picker
	*seen
}

func (s poolSpy) Pick(h balance.PickInfo) int {
	i := s.Picker.Pick(h)
	s.picked[i]++
	return i
}

func (s poolSpy) Report(i int, r balance.Report) {
	s.ended++
	s.Picker.Report(i, r)
}

type grpcSpy struct {
	balancer.Picker
	*seen
}

func (s grpcSpy) Pick(i balancer.PickInfo) (balancer.PickResult, error) {
	r, err := s.Picker.Pick(i)
	if c, ok := r.SubConn.(*subConn); ok && c.ready {
		s.picked[c]++
	}
	done := r.Done
	r.Done = func(i balancer.DoneInfo) {
		if s.ended++; done != nil {
			done(i)
		}
	}
	return r, err
}

type httplbSpy struct {
	picker.Picker
	*seen
}

func (s httplbSpy) Pick(r *http.Request) (conn.Conn, func(), error) {
	c, done, err := s.Picker.Pick(r)
	s.picked[c]++
	return c, func() { s.ended++; done() }, err
}

func TestEveryCallGoesToAnEndpointThatIsReadyAndEnds(t *testing.T) {
	for _, a := range arms() {
		for _, busy := range []int{0, inFlight} {
			const n, calls = 20, 4000
			p, err := a.open(n, busy)
			if err != nil {
				t.Fatal(err)
			}
			s := &seen{picked: map[any]int{}}
			switch p := p.(type) {
			case *multipool:
				p.picker = poolSpy{p.picker, s}
			case *grpcPicker:
				p.picker = grpcSpy{p.picker, s}
			case *httplbPicker:
				p.picker = httplbSpy{p.picker, s}
			}
			if err := p.call(calls); err != nil {
				t.Fatal(err)
			}
			total := 0
			for _, k := range s.picked {
				total += k
			}
			if total != calls || s.ended != calls || len(s.picked) != n {
				t.Errorf("%s, %d in flight: %d calls were %d to %d endpoints that are ready, and %d ended, want all to %d",
					a.name, busy, calls, total, len(s.picked), s.ended, n)
			}
		}
	}
}

func open(t *testing.T, n, busy int) *multipool {
	t.Helper()
	p, err := openMultipool(n, busy)
	if err != nil {
		t.Fatal(err)
	}
	return p.(*multipool)
}

func TestCallsInFlightAreThoseThatWereAsked(t *testing.T) {
	for _, busy := range []int{0, inFlight} {
		p := open(t, 10, busy)
		if err := p.call(1000); err != nil {
			t.Fatal(err)
		}
		for _, m := range p.members {
			if m.InFlight() != busy || m.Unavailable() {
				t.Errorf("%d calls in flight, unavailable %v, want %d", m.InFlight(), m.Unavailable(), busy)
			}
		}
	}
}

func TestOursAllocatesNothing(t *testing.T) {
	for _, n := range sizes() {
		p := open(t, n, inFlight)
		for op, do := range map[string]func(int) error{call: p.call, count: p.count, pick: p.pick} {
			if x := testing.AllocsPerRun(100, func() { _ = do(batch) }); x > 0 {
				t.Errorf("%s among %d: %v allocations", op, n, x)
			}
		}
	}
}

// If there were a lock, one of several goroutines would soon wait for it.
func TestOursWaitsForNoLock(t *testing.T) {
	defer runtime.SetMutexProfileFraction(runtime.SetMutexProfileFraction(1))
	p := open(t, 10, inFlight)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				_ = p.pick(batch)
				for k := range batch {
					p.picker.Report(k%10, balance.Report{Latency: time.Millisecond})
				}
			}
		})
	}
	all.Wait()
	records := make([]runtime.BlockProfileRecord, 1000)
	n, _ := runtime.MutexProfile(records)
	for _, r := range records[:min(n, len(records))] {
		frames := runtime.CallersFrames(r.Stack())
		for f, more := frames.Next(); more; f, more = frames.Next() {
			for _, ours := range []string{"/balance.", "/outlier."} {
				if strings.Contains(f.Function, "multi_connection_pool"+ours) {
					t.Errorf("%s waited for a lock", f.Function)
				}
			}
		}
	}
}

func TestTheReportNamesEveryContenderAndTarget(t *testing.T) {
	var out bytes.Buffer
	if err := write(&out, measure.Settings{Rounds: 1, Slice: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	want := []string{"multipool: pick alone |", best + ": look-up, ns |", "10,000 endpoints to 10 |", "multipool: pick, count |", "Command:"}
	for _, a := range arms() {
		want = append(want, "| "+a.name+": "+call+" |")
	}
	for _, h := range hashing() {
		want = append(want, "| "+h.name+" |")
	}
	for _, want := range want {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in the report:\n%s", want, &out)
		}
	}
}
