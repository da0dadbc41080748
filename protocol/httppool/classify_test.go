//go:build go1.26

package httppool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/minicaptain/multi_connection_pool/balance"
)

func TestTheOutcomeOfAStatus(t *testing.T) {
	for status := 100; status < 600; status++ {
		want := balance.OutcomeOK
		switch status {
		case 408, 502, 504:
			want = balance.OutcomeFailure
		case 503:
			want = balance.OutcomeOverload
		}
		if got := Classify(&http.Response{StatusCode: status}); got != want {
			t.Errorf("%d: %v, want %v", status, got, want)
		}
	}
}

func TestTheOutcomeOfAnError(t *testing.T) {
	for _, k := range []struct {
		err  error
		want balance.Outcome
	}{
		{nil, balance.OutcomeOK},
		{&Error{Outcome: balance.OutcomeOverload, Err: context.Canceled}, balance.OutcomeOverload},
		{fmt.Errorf("more: %w", &Error{Outcome: balance.OutcomeNeutral}), balance.OutcomeNeutral},
		{fmt.Errorf("more: %w", context.Canceled), balance.OutcomeCanceled},
		{context.DeadlineExceeded, balance.OutcomeFailure},
		{&url.Error{Op: "Get", Err: &Error{Outcome: balance.OutcomeOverload}}, balance.OutcomeOverload},
		{io.ErrUnexpectedEOF, balance.OutcomeFailure},
		{fmt.Errorf("more: %w", os.ErrDeadlineExceeded), balance.OutcomeFailure},
		{&net.OpError{Op: "read", Err: errors.New("any")}, balance.OutcomeFailure},
		{syscall.ECONNRESET, balance.OutcomeFailure},
		{errors.New("the application's own"), balance.OutcomeNeutral},
		{&url.Error{Op: "Get", Err: errors.New("the application's own")}, balance.OutcomeNeutral},
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
	reported := make(chan balance.Report, 1)
	c := clientOf(t, newPool(t, Config{}, []string{a}, reports(reported)), Attempts(1), WithClassifier(func(*http.Response) balance.Outcome { panic("no") }))
	if code, got, err := get(t.Context(), c, "http://echo/"); code != http.StatusOK || got != "a " || err != nil {
		t.Errorf("%d %q, %v", code, got, err)
	}
	if r := <-reported; r.Outcome != balance.OutcomeFailure {
		t.Errorf("reported %v", r)
	}
}

func TestAnErrorNamesTheRequestTheServerAndTheCause(t *testing.T) {
	cause := os.ErrDeadlineExceeded
	made := explain(&http.Request{}, "h:1", 2, balance.OutcomeFailure, cause)
	e := &made
	if got := e.Error(); got != "httppool: GET  at h:1 (attempt 2): "+cause.Error() {
		t.Errorf("%q", got)
	}
	if !e.Timeout() || !errors.Is(e, cause) {
		t.Error("it is not what its cause is")
	}
	if e := explain(&http.Request{Method: http.MethodPut}, "", 0, balance.OutcomeNeutral, context.Canceled); e.Outcome != balance.OutcomeCanceled || e.Timeout() ||
		strings.Contains(e.Error(), " at ") {
		t.Errorf("%+v", e)
	}
}
