package live_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/core/pooltest"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/observe/live"
)

type pool = core.Pool[*pooltest.Conn]

// open makes a pool that a new panel of the page shows.
func open(tb testing.TB, page *live.Page, name string, fleet *pooltest.Fleet, opts ...core.Option) (*pool, *live.Panel) {
	tb.Helper()
	panel := page.Panel(name)
	p, err := core.New(fleet, fleet, append(opts, core.WithObserver(panel.Observe))...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	panel.Show(p)
	if err := p.WaitReady(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return p, panel
}

func newPage(tb testing.TB, opts ...live.Option) *live.Page {
	tb.Helper()
	page := live.New(opts...)
	tb.Cleanup(page.Close)
	return page
}

func set(t *testing.T, fleet *pooltest.Fleet, all ...core.Endpoint) {
	t.Helper()
	if err := fleet.Set(all...); err != nil {
		t.Fatal(err)
	}
}

func call(ctx context.Context, c *pooltest.Conn) error { return c.Call(ctx) }

func do(tb testing.TB, p *pool, n int, opts ...core.CallOption) {
	tb.Helper()
	for range n {
		if err := p.Do(tb.Context(), call, opts...); err != nil {
			tb.Fatal(err)
		}
	}
}

// get makes a request to a handler.
func get(h http.Handler, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, http.NoBody))
	return w
}

// document asks for the JSON.
func document(tb testing.TB, h http.Handler, target string) (doc live.Document) {
	tb.Helper()
	w := get(h, target)
	if w.Code != http.StatusOK {
		tb.Fatalf("%s: status %d, %s", target, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		tb.Fatal(err)
	}
	return doc
}

func TestNumbersEqualStats(t *testing.T) {
	page := newPage(t)
	fleet := pooltest.NewFleet("a:1", "b:1", "c:1")
	p, _ := open(t, page, "users", fleet, core.MaxActive(7))
	do(t, p, 100)
	do(t, p, 50, core.WithKey("x"))
	leased, err := p.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer leased.Release()

	doc, st := document(t, page, "/pools.json?sort=address"), p.Stats()
	sum := doc.Pools[0]
	if sum.Name != "users" || sum.Calls != st.Metrics.Leases || sum.Servers != 3 || sum.InService != 3 || sum.InUse != 1 || sum.Level != live.OK {
		t.Errorf("the line of the pool is %+v", sum)
	}
	if doc.Verdict != "All is well: 3 servers in service." {
		t.Errorf("the verdict is %q", doc.Verdict)
	}
	if r := doc.Pool.Registry; r.State != st.State || !r.Since.Equal(st.Since) || r.Servers != 3 || len(r.Disagreements) != 0 {
		t.Errorf("the registry is %+v", r)
	}
	byAddr := map[string]live.Server{}
	for _, s := range doc.Pool.Servers {
		byAddr[s.Addr] = s
	}
	for _, e := range st.Endpoints {
		s := byAddr[e.Endpoint.Addr]
		got := fmt.Sprint(s.Calls, s.InUse, s.Idle, s.Open, s.Dials, s.DialFailures, s.Closed, s.OK, s.Failures, s.Latency, s.Limit, s.State)
		m := e.Metrics
		want := fmt.Sprint(e.Calls, e.InUse, e.Idle, e.Open, e.Dials, e.DialFailures, e.Closed, m.OK, m.Failed+m.Overloaded,
			float64(e.Latency)/float64(time.Millisecond), 7, "in service")
		if got != want {
			t.Errorf("%s: the page has %s, Stats %s", e.Endpoint.Addr, got, want)
		}
	}
}

func TestServerThatIsDownComesFirstWithItsCause(t *testing.T) {
	page := newPage(t)
	fleet := pooltest.NewFleet("a:1", "b:1", "c:1")
	p, _ := open(t, page, "users", fleet)
	fleet.Server("c:1").Down()
	do(t, p, 20, core.Attempts(3))
	doc := document(t, page, "/pools.json")
	first := doc.Pool.Servers[0]
	if first.Addr != "c:1" || first.State != "down" || first.Level != live.Bad || !strings.Contains(first.LastDial, "connection refused") {
		t.Errorf("the first server is %+v", first)
	}
	if doc.Level != live.Warn || doc.Verdict != "users: 1 of 3 servers is down." {
		t.Errorf("the verdict is %s, %q", doc.Level, doc.Verdict)
	}
	if d := doc.Pool.Registry.Disagreements; len(d) != 1 || !strings.Contains(d[0], "1 server that cannot be dialed") {
		t.Errorf("the registry and the pool disagree in %q", d)
	}
}

func TestEjectedServerHasItsEvidence(t *testing.T) {
	page := newPage(t)
	fleet := pooltest.NewFleet("a:1", "b:1", "c:1")
	p, _ := open(t, page, "users", fleet)
	do(t, p, 30)
	fleet.Server("b:1").Fail(syscall.ECONNRESET)
	for range 100 {
		_ = p.Do(t.Context(), call, core.Attempts(3))
		if st := document(t, page, "/pools.json?q=ejected"); st.Pool.Matching == 1 {
			break
		}
	}
	doc := document(t, page, "/pools.json?q=EJECTED")
	if doc.Pool.Matching != 1 {
		t.Fatalf("%d servers match", doc.Pool.Matching)
	}
	s := doc.Pool.Servers[0]
	if s.Addr != "b:1" || s.Ejection == nil || s.Ejection.Evidence == nil || s.Ejection.Evidence.Failures < 3 || !strings.Contains(s.Ejection.Cause, "connection reset") {
		t.Errorf("the server is %+v, ejected for %+v", s, s.Ejection)
	}
	if e := doc.Pool.Events; len(e) == 0 || !strings.Contains(fmt.Sprint(e), "endpoint ejected") {
		t.Errorf("what happened: %+v", e)
	}
}

func TestTextWithMarkupStaysText(t *testing.T) {
	page := newPage(t)
	const markup = `<img src=x onerror="alert(1)"></script>`
	fleet := pooltest.NewFleet()
	set(t, fleet, core.Endpoint{Addr: "a:1", Zone: markup, Attrs: map[string]string{markup: markup}})
	p, _ := open(t, page, markup, fleet)
	fleet.Server("a:1").Fail(fmt.Errorf("%w: %s", syscall.ECONNRESET, markup))
	_ = p.Do(t.Context(), call)

	w := get(page, "/pools.json")
	if kind := w.Header().Get("Content-Type"); kind != "application/json" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("JSON is served as %q", kind)
	}
	if strings.Contains(w.Body.String(), "<img") {
		t.Error("JSON has markup that is not escaped")
	}
	if doc := document(t, page, "/pools.json"); doc.Pool.Servers[0].Zone != markup || doc.Pool.Name != markup {
		t.Error("JSON does not have the text as it was")
	}
	if html := get(page, "/").Body.String(); strings.Contains(html, "onerror") {
		t.Error("the page has text of the pool in its markup")
	}
}

func TestPoolsOfOneNameAreToldApart(t *testing.T) {
	page := newPage(t)
	for i, addr := range []string{"a:1", "b:1"} {
		p, _ := open(t, page, "users", pooltest.NewFleet(addr))
		do(t, p, i+1)
	}
	doc := document(t, page, "/pools.json?pool=users+(2)")
	if len(doc.Pools) != 2 || doc.Pools[0].Name != "users" || doc.Pools[1].Name != "users (2)" || doc.Pool.Servers[0].Addr != "b:1" {
		t.Errorf("the page has %+v", doc.Pools)
	}
	if doc.Verdict != "All is well: 2 pools, 2 servers in service." {
		t.Errorf("the verdict is %q", doc.Verdict)
	}
}

func TestRemovedPanelIsGone(t *testing.T) {
	page := newPage(t)
	_, panel := open(t, page, "users", pooltest.NewFleet("a:1"))
	panel.Remove()
	panel.Observe(core.Event{Kind: core.EventEndpointDown, Endpoint: "a:1"})
	if doc := document(t, page, "/pools.json"); len(doc.Pools) != 0 || doc.Pool != nil || doc.Verdict != "There is no pool yet." {
		t.Errorf("the page has %+v", doc)
	}
	open(t, page, "users", pooltest.NewFleet("b:1"))
	if doc := document(t, page, "/pools.json"); doc.Pool.Servers[0].Addr != "b:1" || doc.Pools[0].Name != "users" {
		t.Errorf("the page has %+v", doc)
	}
}

func TestPageWorksBelowAnyPrefixAndBehindAuthentication(t *testing.T) {
	page := newPage(t)
	open(t, page, "users", pooltest.NewFleet("a:1"))
	auth := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		page.ServeHTTP(w, r)
	})
	mux := http.NewServeMux()
	mux.Handle("/debug/pools/", auth)
	mux.Handle("/stripped/", http.StripPrefix("/stripped", auth))
	mux.Handle("/bare", http.StripPrefix("/bare", auth))
	server := httptest.NewServer(mux)
	defer server.Close()
	request := func(path, password string) (*http.Response, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("me", password)
		resp, err := http.DefaultTransport.RoundTrip(req) // which follows no redirect
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(body)
	}
	for _, prefix := range []string{"/debug/pools/", "/stripped/"} {
		for name, kind := range map[string]string{"": "text/html", "live.js": "text/javascript", "live.css": "text/css", "icon.svg": "image/svg+xml", "pools.json": "application/json"} {
			resp, body := request(prefix+name, "secret")
			if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), kind) || body == "" {
				t.Errorf("%s%s: %s, %s", prefix, name, resp.Status, resp.Header.Get("Content-Type"))
			}
			if !strings.HasPrefix(resp.Header.Get("Content-Security-Policy"), "default-src 'none'; script-src 'self';") {
				t.Errorf("%s%s has no policy", prefix, name)
			}
			for _, absolute := range []string{`="/`, `="http`, `fetch("/`} {
				if strings.Contains(body, absolute) && name != "icon.svg" {
					t.Errorf("%s%s has an absolute URL: %s", prefix, name, absolute)
				}
			}
		}
		if resp, _ := request(prefix+"nonsense", "secret"); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%snonsense: %s", prefix, resp.Status)
		}
		if resp, _ := request(prefix, "wrong"); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s without the password: %s", prefix, resp.Status)
		}
	}
	if resp, _ := request("/bare", "secret"); resp.Header.Get("Location") != "./bare/" {
		t.Errorf("/bare: %s to %q", resp.Status, resp.Header.Get("Location"))
	}
}

func TestPageIsReadOnlyUnlessActionsAreEnabled(t *testing.T) {
	fleet := pooltest.NewFleet("a:1")
	page := newPage(t)
	p, _ := open(t, page, "users", fleet)
	do(t, p, 1)
	post := func(h http.Handler, target, site string) int {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, target, http.NoBody)
		if site != "" {
			r.Header.Set("Sec-Fetch-Site", site)
		}
		h.ServeHTTP(w, r)
		return w.Code
	}
	for target, want := range map[string]int{
		"/act?do=reset&pool=users": http.StatusForbidden, "/act?do=eject&pool=users&server=a:1": http.StatusForbidden, "/": http.StatusMethodNotAllowed, "/pools.json": http.StatusMethodNotAllowed,
	} {
		if got := post(page, target, "same-origin"); got != want {
			t.Errorf("POST %s: %d, want %d", target, got, want)
		}
	}
	if document(t, page, "/pools.json").Actions || fleet.Server("a:1").Open() != 1 {
		t.Error("the page has acted")
	}
}

func TestServerIsTakenOutOfServiceAndPutBackByActions(t *testing.T) {
	fleet := pooltest.NewFleet("a:1", "b:1", "c:1")
	page := newPage(t, live.Actions())
	p, panel := open(t, page, "users", fleet)
	do(t, p, 3, core.WithEndpoint("b:1"))
	post := func(action string) int {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/act?pool=users&server=b:1&do="+action, http.NoBody)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		page.ServeHTTP(w, r)
		return w.Code
	}
	for action, state := range map[string]string{"eject": "ejected", "drain": "ejected"} {
		if got := post(action); got != http.StatusNoContent {
			t.Errorf("%s: %d", action, got)
		}
		if s := document(t, page, "/pools.json?q=b:1").Pool.Servers[0]; s.State != state || (s.Idle == 0) != (action == "drain") {
			t.Errorf("after %s it is %s with %d idle connections", action, s.State, s.Idle)
		}
		if got := post("readmit"); got != http.StatusNoContent {
			t.Errorf("readmit: %d", got)
		}
		do(t, p, 3, core.WithEndpoint("b:1"))
		if s := document(t, page, "/pools.json?q=b:1").Pool.Servers[0]; s.State != "in service" {
			t.Errorf("after it was readmitted it is %s", s.State)
		}
	}
	panel.Show(fixed{core.Stats{}})
	if got := post("drain"); got != http.StatusNotImplemented {
		t.Errorf("a pool that cannot drain: %d", got)
	}
}

func TestActionsAreRefusedToOtherSites(t *testing.T) {
	fleet := pooltest.NewFleet("a:1")
	page := newPage(t, live.Actions())
	var events pooltest.Recorder
	p, _ := open(t, page, "users", fleet, core.WithObserver(events.Observe))
	do(t, p, 1)
	request := func(method, target string, header ...string) int {
		w, r := httptest.NewRecorder(), httptest.NewRequest(method, target, http.NoBody)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		page.ServeHTTP(w, r)
		return w.Code
	}
	const reset = "http://pools.example/act?do=reset&pool=users"
	for name, c := range map[string]struct {
		got, want int
	}{
		"a form of another site":         {request("POST", reset, "Sec-Fetch-Site", "cross-site"), 403},
		"a form of a sister site":        {request("POST", reset, "Sec-Fetch-Site", "same-site"), 403},
		"an old browser on another site": {request("POST", reset, "Origin", "http://evil.example"), 403},
		"a GET":                          {request("GET", reset, "Sec-Fetch-Site", "same-origin"), 405},
		"an ejection by another site":    {request("POST", "/act?do=eject&pool=users&server=a:1", "Sec-Fetch-Site", "cross-site"), 403},
		"another action":                 {request("POST", "/act?do=stop&pool=users", "Sec-Fetch-Site", "same-origin"), 400},
		"another server":                 {request("POST", "/act?do=drain&pool=users&server=z:1", "Sec-Fetch-Site", "same-origin"), 404},
		"the only server":                {request("POST", "/act?do=drain&pool=users&server=a:1", "Sec-Fetch-Site", "same-origin"), 409},
		"another pool":                   {request("POST", "/act?do=reset&pool=nonsense", "Sec-Fetch-Site", "same-origin"), 404},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, want %d", name, c.got, c.want)
		}
	}
	if fleet.Server("a:1").Open() != 1 {
		t.Error("a request that was refused has acted")
	}
	if got := request("POST", reset, "Sec-Fetch-Site", "same-origin"); got != http.StatusNoContent {
		t.Errorf("the page's own button: %d", got)
	}
	if _, err := events.Wait(t.Context(), core.EventConnClosed, "a:1"); err != nil {
		t.Error(err)
	}
}

// messages reads the stream.
func messages(t *testing.T, url string) (next func() live.Document) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/stream", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if kind := resp.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Fatalf("the stream is %q", kind)
	}
	lines := bufio.NewReader(resp.Body)
	return func() (doc live.Document) {
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if data, ok := strings.CutPrefix(line, "data: "); ok {
				if err := json.Unmarshal([]byte(data), &doc); err != nil {
					t.Fatal(err)
				}
				return doc
			}
		}
	}
}

func TestStreamDeliversAChangeWithinASecond(t *testing.T) {
	page := newPage(t)
	fleet := pooltest.NewFleet("a:1", "b:1")
	p, _ := open(t, page, "users", fleet)
	do(t, p, 10)
	server := httptest.NewServer(page)
	defer server.Close()
	defer page.Close() // or the stream keeps the server open
	next := messages(t, server.URL)
	if doc := next(); doc.Level != live.OK {
		t.Fatalf("before anything happened: %s", doc.Verdict)
	}
	fleet.Server("b:1").Down()
	do(t, p, 50, core.Attempts(3))
	for begun := time.Now(); ; {
		doc := next()
		if strings.Contains(doc.Verdict, "1 of 2 servers is down") && doc.Pool.Servers[0].LastDial != "" {
			t.Logf("after %v", time.Since(begun))
			break
		}
		if time.Since(begun) > 10*time.Second { // a second is what a quiet machine takes
			t.Fatalf("after 10 s: %s", doc.Verdict)
		}
	}
}

func TestCloseEndsStreams(t *testing.T) {
	page := newPage(t)
	open(t, page, "users", pooltest.NewFleet("a:1"))
	server := httptest.NewUnstartedServer(page)
	server.Config.RegisterOnShutdown(page.Close)
	server.Start()
	next := messages(t, server.URL)
	next()
	if err := server.Config.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if w := get(page, "/stream"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("a stream of a closed page: %d", w.Code)
	}
	if w := get(page, "/pools.json"); w.Code != http.StatusOK {
		t.Errorf("pools.json of a closed page: %d", w.Code)
	}
}

func TestServersAreFilteredSortedAndPaged(t *testing.T) {
	page := newPage(t)
	fleet := pooltest.NewFleet()
	var all []core.Endpoint
	for i := range 120 {
		all = append(all, core.Endpoint{Addr: fmt.Sprintf("h%03d:1", i), Zone: []string{"east", "west"}[i%2]})
	}
	set(t, fleet, all...)
	p, _ := open(t, page, "users", fleet)
	leased, err := p.Get(t.Context(), core.WithEndpoint("h077:1"))
	if err != nil {
		t.Fatal(err)
	}
	defer leased.Release()
	for target, want := range map[string]string{
		"?limit=2":                  "120 0 h000:1 h001:1",
		"?limit=2&offset=118":       "120 118 h118:1 h119:1",
		"?limit=2&offset=500":       "120 119 h119:1",
		"?limit=2&q=west+H11":       "5 0 h111:1 h113:1",
		"?limit=1&sort=in_use":      "120 0 h077:1",
		"?limit=1&q=nothing":        "0 0",
		"?limit=-1&offset=x&q=h001": "1 0 h001:1",
	} {
		d := document(t, page, "/pools.json"+target).Pool
		got := fmt.Sprint(d.Matching, " ", d.Offset)
		for _, s := range d.Servers {
			got += " " + s.Addr
		}
		if got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
	if n := len(document(t, page, "/pools.json").Pool.Servers); n != 50 {
		t.Errorf("%d servers by default", n)
	}
}

func TestStateOfTheRegistryIsTold(t *testing.T) {
	page := newPage(t)
	panel := page.Panel("users")
	for _, c := range []struct {
		st   core.Stats
		want string
	}{
		{core.Stats{State: core.StatePending, LastWatch: errors.New("refused")}, "bad users: no set of servers is known yet."},
		{core.Stats{State: core.StateEmpty}, "bad users: the registry has no server."},
		{core.Stats{State: core.StateStale, Endpoints: make([]core.EndpointStats, 2)}, "warn users: the registry is out of sight, the last known set is in use."},
		{core.Stats{State: core.StateReady, Endpoints: []core.EndpointStats{{Down: true}, {Ejected: true}}}, "bad users: no server is in service, 1 of 2 servers is ejected, 1 is down."},
		{core.Stats{State: core.StateReady, Endpoints: []core.EndpointStats{{Latency: 2e6}, {Latency: 3e6}, {Latency: 7e6}}}, "ok All is well: 3 servers in service."},
		{core.Stats{State: core.StateReady, Endpoints: []core.EndpointStats{{Latency: 2e6}, {Latency: 3e6}, {Latency: 10e6}}}, "warn users: 1 of 3 servers is slow."},
		{core.Stats{State: core.StateReady, Endpoints: make([]core.EndpointStats, 1), Waiting: 1}, "ok All is well: 1 call waits for a connection."},
	} {
		panel.Show(fixed{c.st})
		doc := document(t, page, "/pools.json")
		if got := string(doc.Level) + " " + doc.Verdict; got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
		if r := doc.Pool.Registry; (r.Error != "") != (r.Doctor == discovery.Doctor) || r.Error == "" && r.Doctor != "" {
			t.Errorf("the registry's error %q has the doctor %q", r.Error, r.Doctor)
		}
	}
}

// fixed is a pool of the user's own.
type fixed struct{ st core.Stats }

func (fixed) Measure()            {}
func (f fixed) Stats() core.Stats { return f.st }

// BenchmarkTenThousandServers is how long an answer of pools.json takes.
func BenchmarkTenThousandServers(b *testing.B) {
	page := newPage(b)
	var addrs []string
	for i := range 10_000 {
		addrs = append(addrs, fmt.Sprintf("10.%d.%d.1:9090", i/256, i%256))
	}
	p, _ := open(b, page, "users", pooltest.NewFleet(addrs...), core.MaxEndpoints(20_000))
	do(b, p, 1000)
	for b.Loop() {
		if w := get(page, "/pools.json"); w.Code != http.StatusOK {
			b.Fatal(w.Code)
		}
	}
}
