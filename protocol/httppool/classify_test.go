package httppool

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

func TestWhatAStatusTellsOfItsServer(t *testing.T) {
	for status := 100; status < 600; status++ {
		want := core.OK
		switch status {
		case 502, 504:
			want = core.Failure
		case 503:
			want = core.Overload
		}
		if got := Classify(&http.Response{StatusCode: status}); got != want {
			t.Errorf("%d: %v, want %v", status, got, want)
		}
	}
}

func TestWhatAnErrorTellsOfItsServer(t *testing.T) {
	for _, k := range []struct {
		err  error
		want core.Class
	}{
		{nil, core.OK},
		{&Error{Class: core.Overload, Err: context.Canceled}, core.Overload},
		{fmt.Errorf("more: %w", &Error{Class: core.Ignored}), core.Ignored},
		{fmt.Errorf("more: %w", context.Canceled), core.Cancelled},
		{context.DeadlineExceeded, core.Failure},
		{errors.New("other"), core.Failure},
	} {
		if got := ClassifyError(k.err); got != k.want {
			t.Errorf("%v: %v, want %v", k.err, got, k.want)
		}
	}
}

func TestTheMethodOrAKeyMakesARequestIdempotent(t *testing.T) {
	for method, want := range map[string]bool{
		"": true, "GET": true, "HEAD": true, "OPTIONS": true, "TRACE": true, "PUT": true, "DELETE": true,
		"POST": false, "PATCH": false, "CONNECT": false, "get": false, "LOCK": false,
	} {
		if got := Idempotent(&http.Request{Method: method}); got != want {
			t.Errorf("%q: %v", method, got)
		}
	}
	for _, key := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if !Idempotent(&http.Request{Method: http.MethodPost, Header: http.Header{key: {"1"}}}) {
			t.Errorf("%s is not seen", key)
		}
	}
}

func TestRetryAfterIsSecondsOrADate(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for v, want := range map[string]time.Duration{
		"": 0, "0": 0, "5": 5 * time.Second, "4294967295": 4294967295 * time.Second,
		"-1": 0, "1.5": 0, "soon": 0, "99999999999999999999": 0,
		now.Add(time.Minute).Format(http.TimeFormat):  time.Minute,
		now.Add(-time.Minute).Format(http.TimeFormat): 0,
	} {
		if got := retryAfter(&http.Response{Header: http.Header{"Retry-After": {v}}}, now); got != want {
			t.Errorf("%q: %v, want %v", v, got, want)
		}
	}
	if got := retryAfter(&http.Response{}, now); got != 0 {
		t.Errorf("no header: %v", got)
	}
}

// busy answers 503 with that Retry-After until it is told otherwise.
func busy(tb testing.TB, after string) (addr string, asked *atomic.Int32, well *atomic.Bool) {
	tb.Helper()
	asked, well = new(atomic.Int32), new(atomic.Bool)
	s := server(tb, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if !well.Load() {
			w.Header().Set("Retry-After", after)
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	return addrOf(s), asked, well
}

func TestAServerIsLeftAloneForAsLongAsItAsks(t *testing.T) {
	for after, asks := range map[string]bool{"60": true, "0": false, "soon": false} {
		addr, asked, _ := busy(t, after)
		good, _ := answering(t, "good", http.StatusOK)
		c := clientOf(t, newPool(t, Config{}, []string{addr, good}, first(addr)))
		for range 5 {
			if code, _, err := get(t.Context(), c, "http://echo/"); code != http.StatusOK || err != nil {
				t.Fatalf("%d, %v", code, err)
			}
		}
		if n := asked.Load(); (n == 1) != asks || !asks && n != 5 {
			t.Errorf("Retry-After: %s: asked %d times", after, n)
		}
	}
}

func TestAPauseEndsAndIsBounded(t *testing.T) {
	const bound = 100 * time.Millisecond
	addr, asked, well := busy(t, "3600")
	good, _ := answering(t, "good", http.StatusOK)
	c := clientOf(t, newPool(t, Config{}, []string{addr, good}, first(addr)), MaxPause(bound))
	begun := time.Now()
	if code, _, err := get(t.Context(), c, "http://echo/"); code != http.StatusOK || err != nil {
		t.Fatalf("%d, %v", code, err)
	}
	well.Store(true)
	until(t, "it is asked again", func() bool {
		_, _, _ = get(t.Context(), c, "http://echo/")
		return asked.Load() > 1
	})
	if took := time.Since(begun); took < bound {
		t.Errorf("it was asked again after %v", took)
	}
}

func TestNobodyIsPausedWithoutAReason(t *testing.T) {
	addr, asked, _ := busy(t, "60")
	good, _ := answering(t, "good", http.StatusOK)
	for name, opts := range map[string][]Option{
		"MaxPause(0)": {MaxPause(0)},
		"not overloaded": {ClassifyFunc(func(r *http.Response) core.Class {
			if r.StatusCode == http.StatusServiceUnavailable {
				return core.Failure
			}
			return core.OK
		})},
	} {
		asked.Store(0)
		c := clientOf(t, newPool(t, Config{}, []string{addr, good}, first(addr)), opts...)
		for range 3 {
			_, _, _ = get(t.Context(), c, "http://echo/")
		}
		if asked.Load() != 3 {
			t.Errorf("%s: asked %d times", name, asked.Load())
		}
	}
	// When all ask to be left alone, they are asked all the same.
	c := clientOf(t, newPool(t, Config{}, []string{addr}))
	for range 3 {
		if code, _, err := get(t.Context(), c, "http://echo/"); code != http.StatusServiceUnavailable || err != nil {
			t.Errorf("%d, %v", code, err)
		}
	}
}

func TestPausesAreKeptInOrderAndForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pauses
		if got := p.avoid(nil); got != nil {
			t.Errorf("%v", got)
		}
		now := time.Now()
		for i := range 6 {
			p.add(strconv.Itoa(i), now, now.Add(time.Duration(6-i)*time.Second))
		}
		p.add("5", now, now.Add(10*time.Second))
		p.add("5", now, now.Add(time.Second)) // shorter than what it has
		want := func(addrs ...string) {
			t.Helper()
			var opts []core.CallOption
			for _, a := range addrs {
				opts = append(opts, core.Avoid(a))
			}
			if got := p.avoid(nil); fmt.Sprint(got) != fmt.Sprint(opts) {
				t.Errorf("%v, want %v", got, opts)
			}
		}
		want("2", "1", "0", "5")
		time.Sleep(5 * time.Second)
		want("0", "5")
		time.Sleep(5 * time.Second)
		want()
		if p.all.Load() != nil {
			t.Error("they are kept for ever")
		}
		now = time.Now()
		p.add("a", now, now.Add(time.Second))
		time.Sleep(time.Second)
		p.add("b", time.Now(), time.Now().Add(time.Second))
		want("b")
	})
}

func TestAServerThatAnswersWithErrorsIsEjected(t *testing.T) {
	bad, asked := answering(t, "bad", http.StatusBadGateway)
	good, _ := answering(t, "good", http.StatusOK)
	fine, _ := answering(t, "fine", http.StatusOK)
	c := clientOf(t, newPool(t, Config{}, []string{bad, good, fine}))
	const calls = 300
	for range calls {
		if code, _, err := get(t.Context(), c, "http://echo/"); code != http.StatusOK || err != nil {
			t.Fatalf("%d, %v", code, err)
		}
	}
	if n := asked.Load(); n == 0 || n > calls/10 {
		t.Errorf("the bad server was asked %d times of %d", n, calls)
	}
}

func TestAClassifierThatPanicsCountsAsFailure(t *testing.T) {
	a, _ := answering(t, "a", http.StatusOK)
	told := make(chan core.Report, 1)
	c := clientOf(t, newPool(t, Config{}, []string{a}, reports(told)), Attempts(1), ClassifyFunc(func(*http.Response) core.Class { panic("no") }))
	if code, got, err := get(t.Context(), c, "http://echo/"); code != http.StatusOK || got != "a " || err != nil {
		t.Errorf("%d %q, %v", code, got, err)
	}
	if r := <-told; r.Class != core.Failure {
		t.Errorf("told %v", r)
	}
}

func TestAnErrorNamesTheRequestTheServerAndTheCause(t *testing.T) {
	cause := os.ErrDeadlineExceeded
	e := explain(&http.Request{}, "h:1", 2, core.Failure, cause)
	if got := e.Error(); got != "httppool: GET  at h:1 (attempt 2): "+cause.Error() {
		t.Errorf("%q", got)
	}
	if !e.Timeout() || !errors.Is(e, cause) {
		t.Error("it is not what its cause is")
	}
	if e := explain(&http.Request{Method: http.MethodPut}, "", 0, core.Ignored, context.Canceled); e.Class != core.Cancelled || e.Timeout() ||
		strings.Contains(e.Error(), " at ") {
		t.Errorf("%+v", e)
	}
}
