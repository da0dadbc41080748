package core_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// errLong has a text of a mebibyte.
var errLong = fmt.Errorf("%s: %w", strings.Repeat("long ", 1<<20/5), io.ErrNoProgress)

func TestErrorsOfAnyLengthAreCutWhereThePoolKeepsThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f := newRegistry(t), newFleet(t)
		var kinds sync.Map // with the error
		p := open(t, r, f, core.WithObserver(func(ev core.Event) {
			if ev.Err == nil {
				return
			}
			if n := len(ev.Err.Error()); n > 5000 {
				t.Errorf("%s: an error of %d bytes", ev.Kind, n)
			} else if n > 4000 && errors.Is(ev.Err, io.ErrNoProgress) {
				kinds.Store(ev.Kind, true)
			}
			if text, err := json.Marshal(ev); err != nil || len(text) > 6000 {
				t.Errorf("%s: %d bytes of JSON (%v)", ev.Kind, len(text), err)
			}
		}))
		r.say(endpoints("a:1", "b:1", "c:1")...)

		l := get(t, p, core.WithEndpoint("a:1"))
		fail(l, 1) // others follow
		if err := l.Discard(errLong); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			_ = p.Do(t.Context(), func(context.Context, *link) error { return errors.Join(errLong, errBroken) }, core.WithEndpoint("a:1"))
			time.Sleep(patience)
		}
		f.server("b:1").dialed(func(context.Context) error { return errLong })
		f.server("c:1").dialed(func(context.Context) error { panic(errLong) })
		for _, addr := range []string{"b:1", "c:1"} {
			_, err := p.Get(t.Context(), core.WithEndpoint(addr))
			if err == nil || len(err.Error()) > 10_000 || addr == "b:1" && !errors.Is(err, io.ErrNoProgress) {
				t.Errorf("%s: an error of %d bytes, matches: %v", addr, len(fmt.Sprint(err)), errors.Is(err, io.ErrNoProgress))
			}
		}
		r.lose(errLong)
		st := p.Stats()
		if n := len(st.LastWatch.Error()); n > 5000 || !errors.Is(st.LastWatch, io.ErrNoProgress) {
			t.Errorf("Stats has an error of %d bytes", n)
		}
		if text, err := json.Marshal(st); err != nil || len(text) > 20_000 {
			t.Errorf("Stats has %d bytes of JSON (%v)", len(text), err)
		}
		for _, want := range []core.EventKind{
			core.EventDialFailed, core.EventEndpointDown, core.EventWatchLost, core.EventConnClosed, core.EventEndpointEjected,
		} {
			if _, ok := kinds.Load(want); !ok {
				t.Errorf("no event %q with the error", want)
			}
		}
	})
}
