package thriftpool

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

// stages are servers that stop at a stage of the first call and say so.
func stages(reached chan<- struct{}) map[string]func(*testing.T, net.Conn) {
	tell := func() {
		select {
		case reached <- struct{}{}:
		default:
		}
	}
	stop := func(nc net.Conn) { // until the other side closes
		tell()
		for {
			if _, ok := next(nc); !ok {
				return
			}
		}
	}
	begin := func(t *testing.T, nc net.Conn, n int) []byte {
		t.Helper()
		r, ok := next(nc)
		if !ok {
			return nil
		}
		b := frame(reply(t, r.method, thrift.REPLY, r.seq, said(strings.Repeat("x", 10_000))))
		answer(nc, b[:n])
		return b[n:]
	}
	return map[string]func(*testing.T, net.Conn){
		"while the request is sent": func(t *testing.T, nc net.Conn) {
			if _, err := nc.Read(make([]byte, 1000)); err == nil {
				tell()
				<-t.Context().Done()
			}
		},
		"before the reply": func(t *testing.T, nc net.Conn) {
			if _, ok := next(nc); ok {
				stop(nc)
			}
		},
		"within the length of the reply": func(t *testing.T, nc net.Conn) {
			if begin(t, nc, 2) != nil {
				stop(nc)
			}
		},
		"within the reply": func(t *testing.T, nc net.Conn) {
			if begin(t, nc, 30) != nil {
				stop(nc)
			}
		},
		"while the reply dribbles": func(t *testing.T, nc net.Conn) {
			rest := begin(t, nc, 1)
			if rest != nil {
				tell()
			}
			for _, b := range rest {
				if !answer(nc, []byte{b}) {
					return
				}
				prototest.Pause(time.Millisecond)
			}
		},
	}
}

// large returns an argument that fits the stage: one that the buffers of the
// sockets cannot hold while the server does not read.
func large(stage string) string {
	if stage == "while the request is sent" {
		return strings.Repeat("x", 2<<20)
	}
	return "s"
}

// narrow opens sockets with a small buffer.
func narrow(ctx context.Context, network, addr string) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, network, addr)
	if tc, ok := nc.(*net.TCPConn); ok {
		err = tc.SetWriteBuffer(64 << 10)
	}
	return nc, err
}

func TestCancellationEndsACallInAnyPhase(t *testing.T) {
	reached := make(chan struct{}, 1)
	for name, speak := range stages(reached) {
		t.Run(name, func(t *testing.T) {
			var last balance.Report
			var reports int
			pool := newPool(t, Config{DialContext: narrow}, []string{prototest.Listen(t, func(nc net.Conn) { speak(t, nc) })}, core.MaxActive(1),
				core.WithBalancer(spyBalancer(func(r balance.Report) { last, reports = r, reports+1 })))
			c := echo.NewEchoClient(Client(pool, Idempotent("*")))
			arg := large(name)
			var calls int
			late := prototest.LeastDelay(func() time.Duration {
				calls++
				ctx, cancel := context.WithCancel(t.Context())
				var canceled time.Time
				over := make(chan struct{})
				var canceller sync.WaitGroup
				canceller.Go(func() {
					select {
					case <-reached:
						canceled = time.Now()
					case <-over:
					}
					cancel()
				})
				_, err := c.Echo(ctx, arg)
				ended := time.Now()
				close(over)
				canceller.Wait()
				late := ended.Sub(canceled)
				e, ok := errors.AsType[*Error](err)
				if !ok || !errors.Is(err, context.Canceled) || e.Outcome != balance.OutcomeCanceled || e.Attempts != 1 {
					t.Errorf("got %v", err)
				}
				if last.Outcome != balance.OutcomeCanceled || last.Latency <= 0 {
					t.Errorf("reported %+v", last)
				}
				return late
			})
			if late > prototest.Prompt {
				t.Errorf("returned %v after the cancellation", late)
			}
			if reports != calls || pool.Stats().Endpoints[0].Closed < uint64(calls-1) {
				t.Errorf("%d reports, %+v", reports, pool.Stats().Endpoints[0])
			}
		})
	}
}

func TestCancellationEndsTheWaitForAConnection(t *testing.T) {
	pool := newPool(t, Config{}, []string{parrot(t)}, core.MaxActive(1))
	lease, err := pool.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = echo.NewEchoClient(Client(pool)).Echo(ctx, "s")
	if !errors.Is(err, context.Canceled) || Classify(err) != balance.OutcomeCanceled {
		t.Errorf("got %v", err)
	}
	if err := lease.Release(); err != nil {
		t.Error(err)
	}
}

func TestADeadlineEndsACallInAnyPhase(t *testing.T) {
	for name, speak := range stages(nil) {
		for _, whose := range []string{"of the context", "of the attempt"} {
			t.Run(name+" "+whose, func(t *testing.T) {
				const time20 = 20 * time.Millisecond
				conf := Config{DialContext: narrow}
				if whose == "of the attempt" {
					conf.Timeout = time20
				}
				c := newClient(t, conf, []string{prototest.Listen(t, func(nc net.Conn) { speak(t, nc) })}, Attempts(1))
				arg := large(name)
				late := prototest.LeastDelay(func() time.Duration {
					begun, ctx := time.Now(), t.Context()
					if conf.Timeout == 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, time20)
						defer cancel()
					}
					_, err := c.Echo(ctx, arg)
					took := time.Since(begun)
					if te, ok := errors.AsType[thrift.TTransportException](err); ok && te.TypeId() != thrift.TIMED_OUT ||
						errors.Is(err, context.DeadlineExceeded) != (conf.Timeout == 0) || Classify(err) == balance.OutcomeCanceled {
						t.Errorf("got %v", err)
					}
					if took < time20 {
						t.Errorf("gave up after %v", took)
					}
					return took - time20
				})
				if late > prototest.Prompt {
					t.Errorf("%v late", late)
				}
			})
		}
	}
}

func TestADribbledReplyThatIsInTimeIsTaken(t *testing.T) {
	addr := prototest.Listen(t, func(nc net.Conn) {
		r, ok := next(nc)
		if !ok {
			return
		}
		for _, b := range frame(reply(t, r.method, thrift.REPLY, r.seq, said("slowly but surely"))) {
			if !answer(nc, []byte{b}) {
				return
			}
		}
		next(nc)
	})
	got, err := newClient(t, Config{}, []string{addr}).Echo(t.Context(), "s")
	if err != nil || got != "slowly but surely" {
		t.Errorf("got %q, %v", got, err)
	}
}

// Were the wait for the last byte one for more bytes, it would not end.
func TestTheLastByteOfAReplyMayComeAlone(t *testing.T) {
	apache := thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), &thrift.TConfiguration{})
	for _, conf := range []Config{{}, {Transport: apache}} {
		for _, size := range []int{0, 100, 4096, readSize, 5 * readSize} {
			var conns atomic.Int32
			addr := prototest.Listen(t, func(nc net.Conn) {
				conns.Add(1)
				for {
					r, ok := next(nc)
					if !ok {
						return
					}
					b := frame(reply(t, r.method, thrift.REPLY, r.seq, said(strings.Repeat("x", size))))
					answer(nc, b[:len(b)-1])
					prototest.Pause(2 * time.Millisecond)
					answer(nc, b[len(b)-1:])
				}
			})
			c := newClient(t, conf, []string{addr})
			for range 3 {
				if got, err := c.Echo(t.Context(), "s"); err != nil || len(got) != size {
					t.Errorf("%d bytes: %d, %v", size, len(got), err)
				}
			}
			if conns.Load() != 1 {
				t.Errorf("%d bytes: %d connections", size, conns.Load())
			}
		}
	}
}

func TestAContextThatHasEndedCostsNoConnection(t *testing.T) {
	s := serve(t, framedBinary(), &handler{})
	pool := newPool(t, Config{}, []string{s.addr()}, core.MaxActive(1))
	lease, err := pool.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := echo.NewEchoClient(lease.Conn())
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	overdue, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for _, ctx := range []context.Context{canceled, overdue, late{t.Context(), time.Now()}} {
		if _, err := c.Echo(ctx, "s"); err == nil || ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
			t.Errorf("got %v for %v", err, ctx.Err())
		}
	}
	if got, err := c.Echo(t.Context(), "s"); err != nil || got != "s" {
		t.Errorf("the call after it got %q, %v", got, err)
	}
	if err := lease.Release(); err != nil {
		t.Error(err)
	}
}

// late is a context whose deadline has passed and whose timer has not fired.
type late struct {
	context.Context
	deadline time.Time
}

func (c late) Deadline() (time.Time, bool) { return c.deadline, true }

func TestADeadlineThatHasPassedDoesNotHarmTheNextCall(t *testing.T) {
	s := serve(t, framedBinary(), &handler{})
	c := newClient(t, Config{Timeout: -1}, []string{s.addr()})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Echo(ctx, "s"); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	if _, err := c.Echo(t.Context(), "s"); err != nil {
		t.Error(err)
	}
	if s.accepted() != 1 {
		t.Errorf("%d connections", s.accepted())
	}
}

// One connection serves calls that are canceled when they are about to end,
// and calls that nobody cancels. Were the end of the first to reach the second,
// it would fail.
func TestACancellationNeverHitsTheNextCall(t *testing.T) {
	var cancel atomic.Pointer[context.CancelFunc]
	s := serve(t, framedBinary(), &handler{onEcho: func(_ context.Context, s string) (string, error) {
		if f := cancel.Swap(nil); f != nil {
			prototest.Pause(rand.N(3 * time.Millisecond)) // until a round of the watchdog is near
			(*f)()
		}
		return s, nil
	}})
	c := newClient(t, Config{}, []string{s.addr()})
	hits := 0
	for i := range 300 {
		ctx, f := context.WithCancel(t.Context())
		cancel.Store(&f)
		if _, err := c.Echo(ctx, "s"); err != nil {
			hits++
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("call %d: %v", i, err)
			}
		}
		want := strconv.Itoa(i)
		if got, err := c.Echo(context.Background(), want); err != nil || got != want {
			t.Fatalf("call %d, not canceled: %q, %v", i, got, err)
		}
	}
	t.Logf("%d of 300 calls were ended, on %d connections", hits, s.accepted())
}

// Why a context ended is in the error of the call that it ended.
func TestTheCauseOfAContextIsInTheErrorOfTheCallThatItEnded(t *testing.T) {
	mine := errors.New("the program shuts down")
	silent := prototest.Listen(t, func(net.Conn) { <-t.Context().Done() })
	client := newClient(t, Config{}, []string{silent}, Idempotent("*"))
	canceled, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	timedOut, stop := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, mine)
	defer stop()
	for ended, ctx := range map[error]context.Context{context.Canceled: canceled, context.DeadlineExceeded: timedOut} {
		for range 2 { // the second call begins when the context has ended
			time.AfterFunc(5*time.Millisecond, func() { cancel(mine) })
			_, err := client.Echo(ctx, "x")
			if !errors.Is(err, mine) || !errors.Is(err, ended) {
				t.Errorf("%v: got %v", ended, err)
			}
		}
	}
}

// A context may be canceled because another call came too late: that is not the
// server's failure.
func TestACallThatIsCanceledByAnotherOnesDeadlineIsNoFailure(t *testing.T) {
	silent := prototest.Listen(t, func(net.Conn) { <-t.Context().Done() })
	client := newClient(t, Config{}, []string{silent})
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(5*time.Millisecond, func() { cancel(context.DeadlineExceeded) })
	_, err := client.Echo(ctx, "x")
	if e, ok := errors.AsType[*Error](err); !ok || e.Outcome != balance.OutcomeCanceled {
		t.Errorf("got %#v", err)
	}
}
