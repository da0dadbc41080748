//go:build go1.26

package httppool

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
)

// mute starts a server that reads requests and never answers.
func mute(tb testing.TB) string {
	tb.Helper()
	return prototest.Listen(tb, prototest.Silent)
}

// deaf starts a server that accepts connections and never reads.
func deaf(tb testing.TB) string {
	tb.Helper()
	gone := make(chan struct{})
	addr := prototest.Listen(tb, func(net.Conn) { <-gone })
	tb.Cleanup(func() { close(gone) }) // runs before that of listen, which waits
	return addr
}

func TestARequestGoesToAnotherServerWhenTheFirstHangs(t *testing.T) {
	const limit = 200 * time.Millisecond
	silent := mute(t)
	good, _ := answering(t, "good", http.StatusOK)
	c := clientOf(t, newPool(t, Config{Timeout: limit}, []string{silent, good}, core.MaxActive(1), first(silent)))
	for _, body := range []string{"", "x"} {
		begun := time.Now()
		_, got, err := call(t.Context(), c, http.MethodPut, "http://echo/", body)
		if took := time.Since(begun); got != "good "+body || err != nil || took < limit {
			t.Errorf("%q, %v after %v", got, err, took)
		}
		_, _, err = call(t.Context(), clientOf(t, newPool(t, Config{Timeout: limit}, []string{silent})), http.MethodPost, "http://echo/", body)
		var e *Error
		if !errors.As(err, &e) || !errors.Is(err, os.ErrDeadlineExceeded) || !errors.Is(err, context.DeadlineExceeded) ||
			!e.Timeout() || e.Outcome != balance.OutcomeFailure || e.Endpoint != silent {
			t.Errorf("POST: %v", err)
		}
	}
}

func TestTheDeadlineOfARequestHoldsAndBlamesTheServer(t *testing.T) {
	for name, k := range kinds(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }) {
		t.Run(name, func(t *testing.T) {
			reported := make(chan balance.Report, 1)
			pool := newPool(t, k.conf, []string{k.addr}, core.MaxActive(1), reports(reported))
			ready(t, pool)
			c := clientOf(t, pool)
			ctx, cancel := contextOf(t, 100*time.Millisecond)
			defer cancel()
			_, _, err := get(ctx, c, k.scheme+"://echo/")
			var e *Error
			if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &e) || !e.Timeout() || e.Attempts != 1 {
				t.Errorf("got %v", err)
			}
			if late := time.Since(deadlineOf(ctx)); late > time.Second {
				t.Errorf("it returned %v late", late)
			}
			if r := <-reported; r.Outcome != balance.OutcomeFailure {
				t.Errorf("reported %v", r)
			}
		})
	}
}

func deadlineOf(ctx context.Context) time.Time {
	d, _ := ctx.Deadline()
	return d
}

func TestACanceledRequestReturnsAtOnceAndBlamesNobody(t *testing.T) {
	begun, over := make(chan struct{}), make(chan struct{})
	all := kinds(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		begun <- struct{}{}
		<-over // not with the connection, or there might be a response before it is cut
	})
	t.Cleanup(func() { close(over) }) // before those of the servers, which wait for it
	for name, k := range all {
		t.Run(name, func(t *testing.T) {
			for _, body := range []string{"", "x"} {
				reported := make(chan balance.Report, 1)
				pool := newPool(t, k.conf, []string{k.addr}, core.MaxActive(1), reports(reported))
				ctx, cancel := context.WithCancel(t.Context())
				failed := make(chan error)
				go func() { // sends what is received below
					_, _, err := call(ctx, clientOf(t, pool), http.MethodPut, k.scheme+"://echo/", body)
					failed <- err
				}()
				<-begun
				cancel()
				err := <-failed
				var e *Error
				if !errors.Is(err, context.Canceled) || errors.As(err, &e) && e.Outcome != balance.OutcomeCanceled {
					t.Errorf("got %v", err)
				}
				if r := <-reported; r.Outcome != balance.OutcomeCanceled {
					t.Errorf("reported %v", r)
				}
				until(t, "no connection is leased", func() bool { return inUse(pool) == 0 })
			}
		})
	}
}

func TestAServerThatTakesNothingTimesOut(t *testing.T) {
	body := &closing{Reader: io.LimitReader(zeros{}, 1<<30)} // more than any buffer
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://echo/", body)
	_, err := newClient(t, Config{Timeout: 50 * time.Millisecond}, []string{deaf(t)}).Transport.RoundTrip(req)
	var e *Error
	if !errors.As(err, &e) || !e.Timeout() || e.Outcome != balance.OutcomeFailure {
		t.Errorf("got %v", err)
	}
	until(t, "the body is closed", func() bool { return body.closed.Load() > 0 })
}

// slow returns a byte at a time, each after a pause.
type slow struct {
	left  int
	pause time.Duration
}

func (s *slow) Read(p []byte) (int, error) {
	sleep(s.pause)
	if s.left == 0 {
		return 0, io.EOF
	}
	s.left--
	p[0] = 'x'
	return 1, nil
}

func TestTheTimeOfTheBodysReaderDoesNotCount(t *testing.T) {
	for name, k := range kinds(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k.conf.Timeout = 300 * time.Millisecond
			c := newClient(t, k.conf, []string{k.addr})
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, k.scheme+"://echo/", io.NopCloser(&slow{2, 350 * time.Millisecond}))
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(resp.Body); string(b) != "xx" || err != nil {
				t.Errorf("%q, %v", b, err)
			}
			_ = resp.Body.Close()
		})
	}
}

func TestTheResponsesBodyMayTakeItsTime(t *testing.T) {
	const limit = 200 * time.Millisecond
	s := server(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 2 {
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
			sleep(limit + limit/4)
		}
	})
	if _, got, err := get(t.Context(), newClient(t, Config{Timeout: limit}, []string{addrOf(s)}), "http://echo/"); got != "xx" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestATimeoutBelowZeroIsNone(t *testing.T) {
	release := make(chan struct{})
	s := server(t, func(w http.ResponseWriter, _ *http.Request) { <-release; _, _ = io.WriteString(w, "late") })
	time.AfterFunc(50*time.Millisecond, func() { close(release) })
	if _, got, err := get(t.Context(), newClient(t, Config{Timeout: -1}, []string{addrOf(s)}), "http://echo/"); got != "late" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestPingAsksIdleConnections(t *testing.T) {
	asked := make(chan string, 1)
	h := func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.Path }
	for name, k := range kinds(t, h) {
		t.Run(name, func(t *testing.T) {
			k.conf.Ping = func(ctx context.Context, conn http.RoundTripper) error {
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.scheme+"://ping/health", nil)
				if err != nil {
					return err
				}
				resp, err := conn.RoundTrip(req)
				if err != nil {
					return err
				}
				return resp.Body.Close()
			}
			conn, err := Dial(k.conf).Dial(t.Context(), core.Endpoint{Addr: k.addr})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			if err := conn.Health(t.Context()); err != nil {
				t.Error(err)
			}
			if path := <-asked; path != "/health" {
				t.Errorf("asked for %s", path)
			}
		})
	}
	s := server(t, h)
	conf := Config{Ping: func(context.Context, http.RoundTripper) error { return errors.New("broken") }}
	conn, err := Dial(conf).Dial(t.Context(), core.Endpoint{Addr: addrOf(s)})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Health(t.Context()); err == nil {
		t.Error("Health returned nil after a failed ping")
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}

func TestAConnectionOfHTTP1IsNotShared(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})
	s := server(t, func(http.ResponseWriter, *http.Request) {
		begun <- struct{}{}
		<-end
	})
	pool := newPool(t, Config{}, []string{addrOf(s)}, core.MaxActive(1), core.MaxConcurrentCalls(2))
	lease, err := pool.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	send := func() { // sends what is received below
		resp, err := lease.Conn().RoundTrip(must(http.NewRequestWithContext(t.Context(), http.MethodGet, "http://echo/", nil)))
		if err == nil {
			_ = resp.Body.Close()
		}
		failed <- err
	}
	go send()
	<-begun
	go send()
	if err := <-failed; !errors.Is(err, errShared) {
		t.Errorf("got %v", err)
	}
	other := make(chan error)
	go func() { // sends what is received below
		_, _, err := get(t.Context(), clientOf(t, pool), "http://echo/")
		other <- err
	}()
	until(t, "another request waits", func() bool { return pool.Stats().Waiting == 1 })
	end <- struct{}{}
	if err := <-failed; err != nil {
		t.Error(err)
	}
	if err := lease.Release(); err != nil {
		t.Error(err)
	}
	<-begun
	close(end)
	if err := <-other; err != nil {
		t.Error(err)
	}
}

// Why a context ended is in the error of the request that it ended.
func TestTheCauseOfAContextIsInTheErrorOfTheRequestThatItEnded(t *testing.T) {
	mine := errors.New("the program shuts down")
	for name, k := range kinds(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }) {
		t.Run(name, func(t *testing.T) {
			pool := newPool(t, k.conf, []string{k.addr}, core.MaxActive(1))
			c := clientOf(t, pool)
			canceled, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			timedOut, stop := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, mine)
			defer stop()
			for ended, ctx := range map[error]context.Context{context.Canceled: canceled, context.DeadlineExceeded: timedOut} {
				for range 2 { // the second request begins when the context has ended
					ready(t, pool)
					time.AfterFunc(20*time.Millisecond, func() { cancel(mine) })
					if _, _, err := get(ctx, c, k.scheme+"://echo/"); !errors.Is(err, mine) || !errors.Is(err, ended) {
						t.Errorf("%v: got %v", ended, err)
					}
				}
			}
		})
	}
}
