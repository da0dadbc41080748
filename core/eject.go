package core

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

var errNoDetection = errors.New("the pool has no outlier detection")

// Eject takes the endpoint out of service, as outlier detection does with one whose
// calls fail: calls go elsewhere, except those that name it ([WithEndpoint]) or find no
// other that can be dialed. Its connections stay. It is not probed, and is back in
// service with [Pool.Readmit], when too many others are out of service
// (outlier.Config.MaxEjectionPercent), or when it leaves the set and joins it again.
// Eject does not block.
//
// The error says that the endpoint is not in the set, that too many others are out of
// service already, or that the pool has no outlier detection.
func (p *Pool[C]) Eject(addr string) error { return p.of().eject(addr) }

// Drain is [Pool.Eject], and closes the endpoint's connections: idle ones at once,
// leased ones when their lease ends. None is opened until it is readmitted, unless a call
// goes there.
func (p *Pool[C]) Drain(addr string) error {
	s := p.of().view.Load().byAddr.get(addr)
	if s == nil {
		return p.of().eject(addr)
	}
	s.drained.Store(true) // before it is ejected, since nothing else readmits it
	if err := p.of().eject(addr); err != nil {
		s.drained.Store(false)
		return err
	}
	s.shed(math.MaxInt, true)
	return nil
}

// Readmit puts an endpoint that is ejected, for whatever reason, back into service. One
// whose calls still fail is ejected again soon. The error says that the endpoint is not
// in the set, or that the pool has no outlier detection.
func (p *Pool[C]) Readmit(addr string) error {
	v, i, err := p.of().find(addr)
	if err != nil {
		return fmt.Errorf("core: readmit %s: %w", addr, err)
	}
	v.detector.Readmit(i, p.of().now())
	return nil
}

func (p *pool) eject(addr string) error {
	v, i, err := p.find(addr)
	if err == nil {
		err = v.detector.Eject(i, p.now())
	}
	if err != nil {
		return fmt.Errorf("core: eject %s: %w", addr, err)
	}
	return nil
}

// find returns the newest snapshot, and the endpoint's index in it.
func (p *pool) find(addr string) (*snapshot, int, error) {
	v := p.view.Load()
	s := v.byAddr.get(addr)
	switch {
	case v.closed:
		return nil, 0, ErrClosed
	case s == nil:
		return nil, 0, fmt.Errorf("%w of that address is in the set", ErrNoEndpoint)
	case v.detector == nil:
		return nil, 0, errNoDetection
	}
	return v, slices.Index(v.subs, s), nil // its own index may be that of a snapshot to come
}
