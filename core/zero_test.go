package core_test

import (
	"context"
	"errors"
	"testing"

	"github.com/minicaptain/multi_connection_pool/core"
)

func TestZeroPoolIsClosed(t *testing.T) {
	var p core.Pool[*link]
	call := func(context.Context, *link) error { return errors.New("the call was made") }
	for what, err := range map[string]error{
		"Get":             func() error { _, err := p.Get(t.Context()); return err }(),
		"Get with a wish": func() error { _, err := p.Get(t.Context(), core.WithKey("k")); return err }(),
		"Do":              p.Do(t.Context(), call),
		"Do, repeated":    p.Do(t.Context(), call, core.Attempts(3)),
		"WaitReady":       p.WaitReady(t.Context()),
		"Eject":           p.Eject("a:1"),
		"Drain":           p.Drain("a:1"),
		"Readmit":         p.Readmit("a:1"),
	} {
		if !errors.Is(err, core.ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := core.Call(t.Context(), &p, func(context.Context, *link) (int, error) { return 1, nil }, core.Hedged(), core.Attempts(2))
	if !errors.Is(err, core.ErrClosed) {
		t.Errorf("Call, hedged: %v", err)
	}
	p.Reset()
	if st := p.Stats(); p.Ready() || p.Len() != 0 || len(st.Endpoints) != 0 {
		t.Errorf("%v, %d endpoints, %+v", p.Ready(), p.Len(), st)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
