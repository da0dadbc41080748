package live_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/core/pooltest"
	"github.com/minicaptain/multi_connection_pool/observe/live"
)

// A program serves the page beside its other handlers.
func Example() {
	page := live.New()
	defer page.Close()
	users := page.Panel("users")
	fleet := pooltest.NewFleet("a:1", "b:1") // a watcher and a dialer
	pool, err := core.New(fleet, fleet, core.WithObserver(users.Observe))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close(context.Background())
	users.Show(pool)

	mux := http.NewServeMux()
	mux.Handle("/debug/pools/", page)

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/debug/pools/", http.NoBody))
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	// Output: 200 text/html; charset=utf-8
}
