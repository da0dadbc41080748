package livepage

import (
	"cmp"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/minicaptain/multi_connection_pool/observe/live"
)

// tab is a tab of a browser that looks at a page.
type tab struct {
	*testing.T

	ctx context.Context
	url string
}

// browse opens a browser. It ends with the test.
func browse(t *testing.T) *tab {
	t.Helper()
	path, err := exec.LookPath(cmp.Or(os.Getenv("CHROMIUM"), "chromium"))
	if err != nil {
		missing := "NOT RUN: there is no Chromium, which this test looks at the page with: " + err.Error()
		if os.Getenv("REQUIRE_CHROMIUM") == "1" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	ctx, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox)...) // root may not have one
	t.Cleanup(stop)
	ctx, end := chromedp.NewContext(ctx)
	t.Cleanup(end)
	b := &tab{T: t, ctx: ctx}
	b.do(chromedp.Navigate("about:blank"))
	return b
}

// serve serves a handler until the test ends.
func serve(t *testing.T, page *live.Page, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(func() {
		page.Close() // ends the streams
		server.Close()
	})
	return server.URL
}

// look opens a URL and waits until the page shows a pool.
func (b *tab) look(url string) {
	b.Helper()
	b.url = url
	b.do(chromedp.Navigate(url))
	b.await(`!document.getElementById("pool").hidden`)
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.Fatal(err)
	}
}

// await waits until an expression is true.
func (b *tab) await(expression string) {
	b.Helper()
	const patience = 10 * time.Second
	if _, err := chromedp.Run(b.ctx, chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingTimeout(patience))); err != nil {
		shown, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.body.innerText`))
		b.Fatalf("%s: %v; the page shows:\n%s", expression, err, shown)
	}
}

// size sets the size of the window and the colors that the viewer prefers.
func (b *tab) size(width, height int64, scheme string) {
	b.Helper()
	b.do(chromedp.EmulateViewport(width, height))
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, media); err != nil {
		b.Fatal(err)
	}
}

// eval returns the value of an expression.
func eval[T any](b *tab, expression string) T {
	b.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.Fatalf("%s: %v", expression, err)
	}
	return v
}
