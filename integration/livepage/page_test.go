package livepage

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/core/pooltest"
	"github.com/minicaptain/multi_connection_pool/observe/live"
)

// rows are the cells of the table of servers, as text.
const rows = `[...document.querySelectorAll("#rows tr:not(.more)")].map((r) => [...r.children].map((c) => c.innerText))`

func TestNumbersOnThePageEqualStats(t *testing.T) {
	b, page := browse(t), live.New()
	p := open(t, page, "echo", listen(t, 0).addr, listen(t, 0).addr, listen(t, 0).addr)
	for range 500 {
		if err := call(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	leased, err := p.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer leased.Release()
	b.size(1280, 900, "light")
	b.look(serve(t, page, page) + "/?sort=address")
	st := p.Stats()
	b.await(fmt.Sprintf(`document.getElementById("tiles").innerText.includes("%d in all")`, st.Metrics.Leases))
	if verdict := eval[string](b, `document.querySelector("h1").innerText`); verdict != "All is well: 3 servers in service." {
		t.Errorf("the verdict is %q", verdict)
	}
	shown := map[string][]string{}
	for _, r := range eval[[][]string](b, rows) {
		shown[strings.TrimSpace(r[0])] = r
	}
	for _, e := range st.Endpoints {
		r := shown[e.Endpoint.Addr]
		if r == nil {
			t.Errorf("%s is not shown; %q are", e.Endpoint.Addr, shown)
			continue
		}
		use, _, _ := strings.Cut(r[5], "\n")
		calls, _, _ := strings.Cut(r[6], "\n")
		got := []string{strings.TrimSpace(r[1]), strings.TrimSpace(r[4]), strings.TrimSpace(use), calls}
		want := []string{"in service", fmt.Sprint(e.Metrics.Failed), fmt.Sprintf("%d of %d", e.InUse, st.Limit), fmt.Sprint(e.Calls)}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: the page has %q, Stats %q", e.Endpoint.Addr, got, want)
		}
	}
}

func TestKilledServerIsShownWithItsCauseWithinASecond(t *testing.T) {
	b, page := browse(t), live.New()
	killed, slow := listen(t, 0), listen(t, 50*time.Millisecond)
	p := open(t, page, "echo", killed.addr, slow.addr, listen(t, 0).addr, listen(t, 0).addr)
	load(t, p)
	b.look(serve(t, page, page))
	b.await(`document.querySelector("h1").innerText.includes("is slow")`)
	eval[bool](b, `(window.here = true)`) // a page that is loaded again forgets it
	killed.kill()
	begun := time.Now()
	// The load may prefer the others for seconds, if they have answered faster so far.
	for {
		l, err := p.Get(t.Context(), core.WithEndpoint(killed.addr))
		if err != nil {
			break
		}
		_ = l.Discard(io.EOF)
	}
	// Down, if no connection is left; ejected, if calls failed: both are out of service.
	b.await(fmt.Sprintf(`[...document.querySelectorAll("#rows tr")].some((r) => r.innerText.includes(%q) && /down|ejected/.test(r.innerText)) &&
		document.getElementById("events").innerText.includes("connection re")`, killed.addr))
	took := time.Since(begun)
	t.Logf("shown %v after it was killed: %s", took, eval[string](b, `document.querySelector("h1").innerText`))
	if took > 3*time.Second { // a second on a machine that does nothing else
		t.Errorf("it took %v", took)
	}
	if !eval[bool](b, `window.here === true`) {
		t.Error("the page was loaded again")
	}
	// It is the first one; its details say why.
	b.await(fmt.Sprintf(`document.querySelector("#rows .addr").innerText === %q`, killed.addr))
	eval[chromedp.Void](b, `document.querySelector("#rows .addr").focus()`)
	b.do(chromedp.KeyEvent("\r"))
	b.await(`document.querySelector("#rows .more").innerText.includes("connection refused")`)
	if eval[string](b, `document.activeElement.getAttribute("aria-expanded")`) != "true" {
		t.Error("the keyboard lost its place")
	}
}

func TestTenThousandServersStayUsable(t *testing.T) {
	b, page := browse(t), live.New()
	const one = "10.1.77.1:9090"
	var addrs []string
	for i := range 10_000 {
		addrs = append(addrs, fmt.Sprintf("10.%d.%d.1:9090", i/256, i%256))
	}
	panel, fleet := page.Panel("echo"), pooltest.NewFleet(addrs...)
	p, err := core.New(fleet, fleet, core.WithObserver(panel.Observe), core.MaxEndpoints(20_000))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(t.Context())
	panel.Show(p)
	begun := time.Now()
	url := serve(t, page, page)
	b.look(url)
	t.Logf("shown after %v", time.Since(begun))
	b.await(`document.getElementById("range").innerText === "1 to 50 of 10,000 servers"`)
	b.do(chromedp.Click("#next"))
	b.await(`document.getElementById("range").innerText === "51 to 100 of 10,000 servers"`)
	if n := eval[int](b, `document.querySelectorAll("#rows tr").length`); n != 50 {
		t.Errorf("%d rows", n)
	}
	b.do(chromedp.SendKeys("#filter", one))
	b.await(fmt.Sprintf(`document.getElementById("range").innerText === "1 server" && document.querySelector("#rows .addr").innerText === %q`, one))
	for range 5 {
		begun := time.Now()
		resp, err := http.Get(url + "/pools.json?limit=50")
		if err != nil {
			t.Fatal(err)
		}
		var doc live.Document
		err = json.NewDecoder(resp.Body).Decode(&doc)
		resp.Body.Close()
		if err != nil || doc.Pool.Matching != 10_000 {
			t.Fatalf("%v, %d servers", err, doc.Pool.Matching)
		}
		t.Logf("answered in %v", time.Since(begun))
	}
}

func TestMarkupIsText(t *testing.T) {
	b, page := browse(t), live.New()
	const markup = `<img src=x onerror="window.harm=1"><script>window.harm=1</script>`
	panel := page.Panel(markup)
	panel.Show(hostile{markup})
	other := page.Panel("other " + markup)
	other.Show(hostile{markup})
	for _, kind := range []core.EventKind{core.EventEndpointEjected, core.EventDialFailed, core.EventLeaseLeaked, core.EventKind(markup)} {
		panel.Observe(core.Event{Time: time.Now(), Kind: kind, Endpoint: markup, Err: fmt.Errorf("%s", markup), Stack: markup, State: core.State(markup)})
	}
	b.look(serve(t, page, page))
	b.do(chromedp.Click("#rows .addr"))
	b.await(`document.querySelector("#rows .more") !== null`)
	text := eval[string](b, `document.body.innerText`)
	if n := strings.Count(text, markup); n < 8 {
		t.Errorf("the text of the page has the markup %d times:\n%s", n, text)
	}
	if eval[bool](b, `window.harm === 1 || document.querySelector("main img, main script") !== null`) {
		t.Error("text became markup")
	}
}

// hostile is a pool whose registry and servers say nothing but markup.
type hostile struct{ markup string }

func (hostile) Measure() {}

func (h hostile) Stats() core.Stats {
	err := fmt.Errorf("%s", h.markup)
	return core.Stats{State: core.State(h.markup), LastWatch: err, Warning: err, Endpoints: []core.EndpointStats{{
		Endpoint: core.Endpoint{Addr: h.markup, Zone: h.markup, Attrs: map[string]string{h.markup: h.markup}}, Down: true, LastDial: err,
	}}}
}

func TestNoRequestLeavesTheOriginOfThePage(t *testing.T) {
	b, page := browse(t), live.New()
	p := open(t, page, "echo", listen(t, 0).addr, listen(t, 0).addr)
	load(t, p)
	mux := http.NewServeMux()
	mux.Handle("/debug/pools/", page)
	url := serve(t, page, mux)
	var mu sync.Mutex
	asked := map[string]bool{}
	if err := chromedp.Listen(b.ctx, func(ev any) {
		if r, ok := ev.(*network.EventRequestWillBeSent); ok {
			mu.Lock()
			asked[r.Request.URL] = true
			mu.Unlock()
		}
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(b.ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	b.look(url + "/debug/pools/")
	b.do(chromedp.Click("#rows .addr"), chromedp.Click(`[data-by="latency"]`))
	b.await(`location.search === "?sort=latency" && document.querySelector("#heads [aria-sort]").innerText.startsWith("Latency")`)
	mu.Lock()
	defer mu.Unlock()
	for u := range asked {
		if !strings.HasPrefix(u, url+"/debug/pools/") {
			t.Errorf("the page asked for %s", u)
		}
	}
	if len(asked) < 4 {
		t.Errorf("only %d requests were seen", len(asked))
	}
	// And what tries to is refused by the policy.
	if !eval[bool](b, `fetch("http://127.0.0.1:1/").then(() => false, (e) => e instanceof TypeError)`) {
		t.Error("a request left the origin")
	}
}

func TestActingIsImpossibleUnlessEnabledAndForOtherSites(t *testing.T) {
	b := browse(t)
	for _, enabled := range []bool{false, true} {
		var opts []live.Option
		status := http.StatusForbidden
		if enabled {
			opts, status = []live.Option{live.Actions()}, http.StatusNoContent
		}
		page := live.New(opts...)
		open(t, page, "echo", listen(t, 0).addr)
		statuses := make(chan int, 1)
		url := serve(t, page, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPost {
				page.ServeHTTP(w, r)
				return
			}
			answer := httptest.NewRecorder()
			page.ServeHTTP(answer, r)
			statuses <- answer.Code
			w.WriteHeader(answer.Code)
		}))
		b.look(url)
		if shown := eval[bool](b, `!document.getElementById("reset").hidden`); shown != enabled {
			t.Errorf("enabled: %t, the button is shown: %t", enabled, shown)
		}
		eval[int](b, `fetch("act?do=reset&pool=echo", {method: "POST"}).then((r) => r.status)`)
		if got := <-statuses; got != status {
			t.Errorf("enabled: %t, the page's own POST: %d", enabled, got)
		}
		eval[bool](b, `!!document.querySelector("#pool tbody .addr").click() || true`)
		if shown := eval[bool](b, `!!document.querySelector(".acts button")`); shown != enabled {
			t.Errorf("enabled: %t, buttons of a server are shown: %t", enabled, shown)
		}
		// Another origin's page sends what a form may send.
		other := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/html") })
		b.do(chromedp.Navigate(serve(t, page, other)))
		eval[bool](b, fmt.Sprintf(`fetch(%q, {method: "POST", mode: "no-cors"}).then(() => true)`, url+"/act?do=reset&pool=echo"))
		if got := <-statuses; got != http.StatusForbidden {
			t.Errorf("enabled: %t, another origin's POST: %d", enabled, got)
		}
	}
}

func TestPageFitsEveryWidthInLightAndDark(t *testing.T) {
	b, page := browse(t), live.New()
	dead := listen(t, 0)
	p := open(t, page, "echo", dead.addr, listen(t, 50*time.Millisecond).addr, listen(t, 0).addr)
	load(t, p)
	dead.kill()
	url := serve(t, page, page)
	backs := map[string]bool{}
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{360, 800, 1440} {
			b.size(width, 900, scheme)
			b.look(url)
			b.await(`document.querySelector("#rows tr") !== null`)
			eval[chromedp.Void](b, `document.querySelector("#rows .addr").click()`)
			if over := eval[int](b, `document.documentElement.scrollWidth`); over > int(width) {
				t.Errorf("%s, %d wide: the page is %d wide", scheme, width, over)
			}
			if over := eval[int](b, `(({scrollWidth, clientWidth}) => scrollWidth - clientWidth)(document.getElementById("servers"))`); over > 0 {
				t.Errorf("%s, %d wide: the table is too wide by %d", scheme, width, over)
			}
			backs[eval[string](b, `getComputedStyle(document.body).backgroundColor`)] = true
		}
	}
	if len(backs) != 2 {
		t.Errorf("backgrounds %v", backs)
	}
}
