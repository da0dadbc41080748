//go:build go1.26

package httppool

import (
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

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

// overloaded answers 503 with that Retry-After until healthy is set.
func overloaded(tb testing.TB, after string) (addr string, asked *atomic.Int32, healthy *atomic.Bool) {
	tb.Helper()
	asked, healthy = new(atomic.Int32), new(atomic.Bool)
	s := server(tb, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if !healthy.Load() {
			w.Header().Set("Retry-After", after)
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	return addrOf(s), asked, healthy
}

func TestAnOverloadedServerGetsNoRequestsForAsLongAsItAsks(t *testing.T) {
	for after, asks := range map[string]bool{"60": true, "0": false, "soon": false} {
		addr, asked, _ := overloaded(t, after)
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

func TestTheTimeOfRetryAfterEndsAndIsBounded(t *testing.T) {
	const bound = 100 * time.Millisecond
	addr, asked, healthy := overloaded(t, "3600")
	good, _ := answering(t, "good", http.StatusOK)
	c := clientOf(t, newPool(t, Config{}, []string{addr, good}, first(addr)), MaxRetryAfter(bound))
	begun := time.Now()
	if code, _, err := get(t.Context(), c, "http://echo/"); code != http.StatusOK || err != nil {
		t.Fatalf("%d, %v", code, err)
	}
	healthy.Store(true)
	until(t, "it is asked again", func() bool {
		_, _, _ = get(t.Context(), c, "http://echo/")
		return asked.Load() > 1
	})
	if took := time.Since(begun); took < bound {
		t.Errorf("it was asked again after %v", took)
	}
}

func TestRetryAfterCountsOnlyFromAnOverloadedServerAmongOthers(t *testing.T) {
	addr, asked, _ := overloaded(t, "60")
	good, _ := answering(t, "good", http.StatusOK)
	for name, opts := range map[string][]Option{
		"MaxRetryAfter(0)": {MaxRetryAfter(0)},
		"not overloaded": {WithClassifier(func(r *http.Response) balance.Outcome {
			if r.StatusCode == http.StatusServiceUnavailable {
				return balance.OutcomeFailure
			}
			return balance.OutcomeOK
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
	// When no other server is available, the one that asked gets the requests.
	c := clientOf(t, newPool(t, Config{}, []string{addr}))
	for range 3 {
		if code, _, err := get(t.Context(), c, "http://echo/"); code != http.StatusServiceUnavailable || err != nil {
			t.Errorf("%d, %v", code, err)
		}
	}
}

func TestAvoidedServersAreKeptInOrderAndForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p avoidance
		if got := p.exclude(nil); got != nil {
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
				opts = append(opts, core.WithoutEndpoint(a))
			}
			if got := p.exclude(nil); fmt.Sprint(got) != fmt.Sprint(opts) {
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
