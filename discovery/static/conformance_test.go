package static_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

func TestListConformsToWatcher(t *testing.T) {
	discoverytest.Run(t, discoverytest.Harness{
		NewPlace: func(context.Context) (discoverytest.Place, error) {
			return listPlace{static.NewList()}, nil
		},
	})
}

// listPlace is a place whose registry is the list itself.
type listPlace struct{ list *static.List }

func (p listPlace) Watcher() (core.Watcher, error) { return p.list, nil }

func (p listPlace) Put(_ context.Context, eps []core.Endpoint) error { return p.list.Set(eps...) }

func (p listPlace) Close() error { return nil }

func TestFixedConformsToWatcherWhereNothingChanges(t *testing.T) {
	discoverytest.Run(t, discoverytest.Harness{
		NewPlace: func(context.Context) (discoverytest.Place, error) { return &fixedPlace{}, nil },
	})
}

// fixedPlace is a place that can be filled until it is watched.
type fixedPlace struct {
	eps     []core.Endpoint
	watched bool
}

func (p *fixedPlace) Watcher() (core.Watcher, error) {
	if len(p.eps) == 0 {
		return nil, fmt.Errorf("a fixed list is never empty (%w)", errors.ErrUnsupported)
	}
	p.watched = true
	return static.Endpoints(p.eps...), nil
}

func (p *fixedPlace) Put(_ context.Context, eps []core.Endpoint) error {
	if p.watched {
		return fmt.Errorf("a fixed list does not change (%w)", errors.ErrUnsupported)
	}
	p.eps = eps
	return nil
}

func (p *fixedPlace) Close() error { return nil }
