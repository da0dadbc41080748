package consul_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/consul"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
)

// TestRedirectIsNotFollowed is about the token, which would go with it.
func TestRedirectIsNotFollowed(t *testing.T) {
	var followed atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			followed.Add(1)
			return
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer s.Close()
	begun := time.Now()
	w := consul.Watcher([]string{s.Listener.Addr().String()}, "echo", consul.WithCredentials(discovery.NewSecret("s3cr3t")))
	err := discoverytest.Follow(t, w).Fails()
	if !strings.Contains(err.Error(), "redirect") || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("error %v", err)
	}
	if d := time.Since(begun); d > 5*time.Second {
		t.Errorf("told after %v", d)
	}
	if n := followed.Load(); n > 0 {
		t.Errorf("followed %d times", n)
	}
}

// TestAnswerThatIsTooLargeIsRefused has an agent that announces a gigabyte.
func TestAnswerThatIsTooLargeIsRefused(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, "/health/service/") {
			_, _ = w.Write([]byte(`"127.0.0.1:8300"`))
			return
		}
		w.Header().Set("X-Consul-Index", "7")
		w.Header().Set("Content-Length", "1000000000")
		_, _ = w.Write([]byte("["))
	}))
	defer s.Close()
	f := discoverytest.Follow(t, consul.Watcher([]string{s.Listener.Addr().String()}, "echo"))
	if err := f.Fails(); !strings.Contains(err.Error(), "more than 67108864 bytes") {
		t.Errorf("error %v", err)
	}
	if f.Count() > 0 {
		t.Error("something was reported")
	}
}
