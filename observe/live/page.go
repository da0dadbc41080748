package live

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// Pool is what a [Panel] needs of a pool; every *core.Pool is one. On a page with
// [Actions], a pool that also has core.Pool's methods Reset, Eject, Drain or Readmit can
// be acted on by them.
type Pool interface {
	// Measure is called once.
	Measure()
	// Stats is called every five seconds, and more often while somebody looks.
	Stats() core.Stats
}

// Page is an [http.Handler] that shows any number of pools. It is safe for concurrent
// use. Make one with [New].
type Page struct {
	actions bool
	done    context.Context //nolint:containedctx // it is the page's life, which Close ends
	end     context.CancelFunc
	loop    sync.WaitGroup
	wake    chan struct{} // something happened; has room for one

	mu       sync.Mutex
	panels   []*Panel // those shown, in the order of their making
	sampling bool
	viewers  map[chan struct{}]struct{}
}

// Option sets one parameter of [New].
type Option func(*Page)

// Actions lets those who see the page act on the pools by buttons, which are POST
// requests: reset a pool; eject, drain and readmit a server. See the methods of core.Pool
// of these names. A request that a browser makes for another site's page is refused, see
// [http.CrossOriginProtection]. By default the page is read-only.
func Actions() Option { return func(p *Page) { p.actions = true } }

// New returns a page without pools. It starts nothing before the first [Panel.Show].
func New(opts ...Option) *Page {
	p := &Page{wake: make(chan struct{}, 1), viewers: map[chan struct{}]struct{}{}}
	p.done, p.end = context.WithCancel(context.Background())
	for _, o := range opts {
		if o != nil {
			o(p)
		}
	}
	return p
}

// Close ends the streams of those who look, and the sampling, and waits for that. A page
// that is closed still answers single requests. An http.Server waits in Shutdown for
// streams to end, so register Close there:
//
//	server.RegisterOnShutdown(page.Close)
func (p *Page) Close() {
	p.mu.Lock()
	p.end()
	p.mu.Unlock()
	p.loop.Wait()
}

// Panel returns a panel, which will show a pool under that name. If there is a panel of
// that name already, this one has "users (2)" as its name. Text that is not UTF-8 is
// replaced, and names are cut above 128 bytes.
func (p *Page) Panel(name string) *Panel {
	name = clip(strings.ToValidUTF8(name, "\uFFFD"), 128)
	if name == "" {
		name = "pool"
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := func(name string) bool {
		return slices.ContainsFunc(p.panels, func(o *Panel) bool { return o.name == name })
	}
	unique := name
	for n := 2; taken(unique); n++ {
		unique = fmt.Sprintf("%s (%d)", name, n)
	}
	panel := &Panel{page: p, name: unique, journal: newJournal()}
	p.panels = append(p.panels, panel)
	return panel
}

// shown returns the panels that have a pool.
func (p *Page) shown() []*Panel {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shownLocked()
}

func (p *Page) shownLocked() []*Panel {
	return slices.DeleteFunc(slices.Clone(p.panels), func(o *Panel) bool { return o.source() == nil })
}

// Panel is the part of a page that shows one pool. It is safe for concurrent use.
type Panel struct {
	page    *Page
	name    string
	journal *journal

	turn sync.Mutex // of those that sample, so that samples come in order; before mu

	mu      sync.Mutex
	pool    Pool
	shows   uint64 // counts calls of Show
	stats   core.Stats
	history history
}

// Observe is the observer for [core.WithObserver] of the panel's pool, and of no other.
func (p *Panel) Observe(ev core.Event) {
	if p.journal.add(ev) {
		p.page.changed()
	}
}

// Show makes the panel show a pool, in place of what it showed before, and makes the
// pool measure its calls. A nil pool is none: its panel is not on the page.
func (p *Panel) Show(pool Pool) {
	if pool != nil {
		pool.Measure()
	}
	p.mu.Lock()
	p.pool, p.stats, p.history = pool, core.Stats{}, history{}
	p.shows++
	p.mu.Unlock()
	if pool != nil {
		p.sample()
		p.page.start()
	}
	p.page.changed()
}

// Remove takes the panel off the page, as after the Close of its pool.
func (p *Panel) Remove() {
	p.Show(nil)
	p.page.mu.Lock()
	p.page.panels = slices.DeleteFunc(p.page.panels, func(o *Panel) bool { return o == p })
	p.page.mu.Unlock()
}

func (p *Panel) source() Pool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pool
}

// sample takes in what the pool says now.
func (p *Panel) sample() {
	p.turn.Lock()
	defer p.turn.Unlock()
	p.mu.Lock()
	pool, shows := p.pool, p.shows
	p.mu.Unlock()
	if pool == nil {
		return
	}
	st := pool.Stats() // not under mu, which Stats of a user's own pool may want
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shows != shows {
		return
	}
	p.stats = st
	p.history.add(time.Now(), st)
	p.journal.keep(p.history.has)
}

// clip returns s, or its beginning.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

var _ http.Handler = (*Page)(nil)
