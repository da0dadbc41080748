//go:build go1.26

package httppool

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/minicaptain/multi_connection_pool/core"
)

// journal is what the hooks of a request that name its connection were told.
type journal struct {
	mu  sync.Mutex
	all []string
}

func (j *journal) note(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.all = append(j.all, fmt.Sprintf(format, args...))
}

func (j *journal) read() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.all)
}

// traced sends a request and returns its response and its journal.
func traced(t *testing.T, rt http.RoundTripper, url string, j *journal) *http.Response {
	t.Helper()
	req := must(http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GetConn: func(hostPort string) {
			j.note("get %v", strings.HasSuffix(url, "//"+hostPort+"/") || strings.HasSuffix(hostPort, ":80"))
		},
		GotConn: func(i httptrace.GotConnInfo) {
			j.note("got, reused %v, was idle %v, idle time %v", i.Reused, i.WasIdle, i.IdleTime > 0)
		},
		PutIdleConn: func(err error) { j.note("put %v", err) },
	}), http.MethodGet, url, nil))
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Error(err)
		return nil
	}
	return resp
}

// The only connection is opened, used again, waited for, and left in the middle of
// a response.
func TestTheHooksOfATraceAreToldWhatNetHTTPTells(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "some")
		_ = http.NewResponseController(w).Flush()
		if r.Header.Get("Never") != "" {
			<-r.Context().Done()
		}
	})
	pool := newPool(t, Config{}, []string{addrOf(s)}, core.MaxActive(1))
	tr := &http.Transport{MaxConnsPerHost: 1}
	t.Cleanup(tr.CloseIdleConnections)
	told := map[string][]string{}
	for url, rt := range map[string]http.RoundTripper{"http://echo/": clientOf(t, pool).Transport, "http://" + addrOf(s) + "/": tr} {
		var all [4]journal
		finish := func(resp *http.Response, j *journal) {
			if resp == nil {
				t.FailNow()
			}
			if _, err := io.ReadAll(resp.Body); err != nil {
				t.Error(err)
			}
			_ = resp.Body.Close()
			until(t, "the connection is idle", func() bool { return strings.HasPrefix(j.read()[len(j.read())-1], "put") })
		}
		finish(traced(t, rt, url, &all[0]), &all[0])
		held := traced(t, rt, url, &all[1])
		waited := make(chan *http.Response)
		go func() { waited <- traced(t, rt, url, &all[2]) }()
		until(t, "the next one asks for a connection", func() bool { return len(all[2].read()) == 1 })
		if pool := pool; rt != tr {
			until(t, "it waits", func() bool { return pool.Stats().Waiting == 1 })
		}
		if held == nil {
			t.FailNow()
		}
		if _, err := io.ReadAll(held.Body); err != nil {
			t.Error(err)
		}
		_ = held.Body.Close()
		finish(<-waited, &all[2])
		if resp := traced(t, rt, url, &all[3]); resp != nil {
			_ = resp.Body.Close() // before its end
		}
		for i := range all {
			told[url] = append(told[url], fmt.Sprint(i, all[i].read()))
		}
	}
	ours, theirs := told["http://echo/"], told["http://"+addrOf(s)+"/"]
	if !slices.Equal(ours, theirs) {
		t.Errorf("ours:     %s\nnet/http: %s", strings.Join(ours, "\n"), strings.Join(theirs, "\n"))
	}
	t.Log(strings.Join(ours, "\n"))
}
