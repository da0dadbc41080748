package core_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

// warning is a watcher that reports what comes from the channel.
type warning chan struct {
	set []core.Endpoint
	err error
}

func (w warning) Watch(ctx context.Context, report func([]core.Endpoint)) error {
	for {
		select {
		case next := <-w:
			report(next.set)
			discovery.ReportWarning(ctx, next.err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (w warning) say(err error, set ...core.Endpoint) {
	w <- struct {
		set []core.Endpoint
		err error
	}{set, err}
	time.Sleep(time.Second) // a burst of reports is one change
	synctest.Wait()
}

func TestErrorsNameWhatARegistryHasInsteadOfServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, j := make(warning), &journal{}
		p, err := core.New(w, newFleet(t), core.WithObserver(j.Observe), core.RemovalGrace(0))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = p.Close(t.Context()) }()
		rpcx := errors.New("0 of 12 entries are servers in format kratos; 12 look like rpcx")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		waited := make(chan error, 1)
		w.say(nil)
		go func() { waited <- p.WaitReady(ctx) }() // before it is known why
		synctest.Wait()
		w.say(rpcx)
		j.wantTold(t, "watch warning: "+rpcx.Error(), "empty")
		_, err1 := p.Get(ctx)
		err2 := <-waited
		for _, err := range []error{err1, err2} {
			if err == nil || !strings.Contains(err.Error(), "; warning: "+rpcx.Error()) || !errors.Is(err, core.ErrNoEndpoint) {
				t.Errorf("error %v", err)
			}
		}
		if st := p.Stats(); !errors.Is(st.Warning, rpcx) || st.LastWatch != nil {
			t.Errorf("warning %v, last watch %v", st.Warning, st.LastWatch)
		}
		if text, err := json.Marshal(p.Stats()); err != nil || !strings.Contains(string(text), `"Warning":"0 of 12 entries`) {
			t.Errorf("JSON %s, error %v", text, err)
		}
		skipped := errors.New("1 of 2 entries are skipped")
		w.say(skipped, endpoints("a:1")...)
		j.wantTold(t, "watch warning: 1 of 2 entries are skipped", "endpoint added a:1", "ready")
		if st := p.Stats(); !errors.Is(st.Warning, skipped) {
			t.Errorf("warning %v", st.Warning)
		}
		w.say(nil, endpoints("a:1", "b:1")...)
		if st := p.Stats(); st.Warning != nil {
			t.Errorf("warning %v, though nothing is skipped any more", st.Warning)
		}
	})
}
