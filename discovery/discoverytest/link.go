package discoverytest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/minicaptain/multi_connection_pool/core"
)

// linkRules are about the connection between a watcher and its registry.
func linkRules() []rule {
	return []rule{
		{
			name:  "Cut",
			says:  "a lost connection is survived or returned as an error, never reported as a smaller set; afterwards nothing is missed",
			check: checkCut,
		},
		{
			name:  "Unreachable",
			says:  "while the registry cannot be reached nothing is reported, least of all an empty set; then the complete set is",
			check: checkUnreachable,
		},
		{
			name:  "CutAtEveryByte",
			says:  "whichever byte of the first list a connection ends before, no report is a part of the set, and the complete set follows",
			check: checkCutAtEveryByte,
		},
		{
			name:  "CancelHung",
			says:  "a watch of a registry that does not answer returns within 1 s of its context's end",
			check: checkCancelHung,
		},
		{
			name:  "CancelCut",
			says:  "a watch of a registry that refuses connections returns within 1 s of its context's end",
			check: checkCancelCut,
		},
	}
}

// keepWatching watches with w as the pool does: again, whenever Watch returns.
// Its session ends with the last of them.
type keepWatching struct{ core.Watcher }

func (k keepWatching) Watch(ctx context.Context, report func([]core.Endpoint)) error {
	for {
		over := ctx.Err() != nil
		err := k.Watcher.Watch(ctx, report)
		switch {
		case over || ctx.Err() != nil && errors.Is(err, ctx.Err()):
			return err
		case ctx.Err() != nil:
			// It may have returned for its own reason in the moment before:
			// what it says of an ended context, it says when it is asked again.
		default:
			if err := rest(ctx); err != nil { // a registry that is gone is not to be stormed
				return err
			}
		}
	}
}

// keep opens a watcher and watches with it again and again.
func (x *exam) keep(ctx context.Context) (*session, error) {
	w, err := x.watcher()
	if err != nil {
		return nil, err
	}
	return x.watch(ctx, keepWatching{w}, nil), nil
}

// keepAt puts eps into the registry and keeps watching from there on.
func (x *exam) keepAt(ctx context.Context, eps ...core.Endpoint) (*session, error) {
	if err := x.put(ctx, eps...); err != nil {
		return nil, err
	}
	s, err := x.keep(ctx)
	if err != nil {
		return nil, err
	}
	return s, s.await(eps)
}

// linger lasts longer than a try of keepWatching, so that some fail.
func linger(ctx context.Context) error { return wait(ctx, 3*quiet) }

func checkCut(ctx context.Context, x *exam) error {
	s, err := x.keepAt(ctx, eps(0, 3)...)
	if err != nil {
		return err
	}
	heal, err := cut(ctx, x.place)
	if err != nil {
		return err
	}
	if err := errors.Join(x.put(ctx, eps(1, 4)...), linger(ctx), heal()); err != nil {
		return err
	}
	if err := s.await(eps(1, 4), eps(0, 3)); err != nil {
		return err
	}
	if err := follow(ctx, x, s, eps(1, 4), slices.Concat(eps(1, 4), eps(7, 8))); err != nil {
		return err
	}
	return s.stop()
}

func checkUnreachable(ctx context.Context, x *exam) error {
	if err := x.put(ctx, eps(0, 3)...); err != nil {
		return err
	}
	heal, err := cut(ctx, x.place)
	if err != nil {
		return err
	}
	s, err := x.keep(ctx)
	if err != nil {
		return errors.Join(err, heal())
	}
	if err := linger(ctx); err != nil {
		return errors.Join(err, heal())
	}
	if reports := s.view().reports; len(reports) > 0 {
		return errors.Join(fmt.Errorf("%s was reported", show(reports[0])), heal())
	}
	if err := heal(); err != nil {
		return err
	}
	if err := s.await(eps(0, 3)); err != nil {
		return err
	}
	return s.stop()
}

// checkCutAtEveryByte measures how many bytes come from the registry until the
// first report, and then cuts before each of them.
func checkCutAtEveryByte(ctx context.Context, x *exam) error {
	const (
		listed = 3
		whole  = 50 // every so many cuts the watch is followed to the end
	)
	p, ok := x.place.(Proxied)
	if !ok {
		return lacks("Proxied", "cut a connection at a byte")
	}
	before := fromServer(p)
	s, err := x.keepAt(ctx, eps(0, listed)...)
	if err != nil {
		return err
	}
	bytes := fromServer(p) - before
	if err := s.stop(); err != nil {
		return err
	}
	x.logf("%d bytes come before the first report", bytes)
	for n := range bytes {
		err := cutOnce(ctx, x, p, n, eps(0, listed), n%whole == 0)
		if err = errors.Join(err, healAll(p)); err != nil {
			return fmt.Errorf("cut before byte %d of %d: %w", n+1, bytes, err)
		}
	}
	return nil
}

// cutOnce watches through proxies of which the first to be used cuts after n
// bytes, and looks at what is reported until a little later, or until the set
// is complete.
func cutOnce(ctx context.Context, x *exam, p Proxied, n int64, set []core.Endpoint, toTheEnd bool) error {
	var cuts []<-chan struct{}
	for _, proxy := range p.Proxies() {
		cuts = append(cuts, proxy.CutAfter(n))
	}
	s, err := x.keep(ctx)
	if err != nil {
		return err
	}
	wasCut := func() bool {
		return slices.ContainsFunc(cuts, func(c <-chan struct{}) bool {
			select {
			case <-c:
				return true
			default:
				return false
			}
		})
	}
	if !x.poll(ctx, func() bool { return wasCut() || len(s.view().reports) > 0 }) {
		return errors.New("there was neither the cut nor a report")
	}
	if toTheEnd {
		err = s.await(set)
	} else if err = wait(ctx, quiet/3); err == nil {
		err = s.verify(set)
	}
	if err != nil {
		return err
	}
	return s.stop()
}

func fromServer(p Proxied) (n int64) {
	for _, proxy := range p.Proxies() {
		n += proxy.Traffic().FromServer
	}
	return n
}

func checkCancelHung(ctx context.Context, x *exam) error {
	return cancelDuring(ctx, x, hang)
}

func checkCancelCut(ctx context.Context, x *exam) error {
	return cancelDuring(ctx, x, cut)
}

// cancelDuring ends two watches during a trouble: one that was begun before,
// and one that never got an answer.
func cancelDuring(ctx context.Context, x *exam, trouble func(context.Context, any) (func() error, error)) error {
	running, err := x.keepAt(ctx, ep(0))
	if err != nil {
		return err
	}
	end, err := trouble(ctx, x.place)
	if err != nil {
		return err
	}
	begun, err := x.keep(ctx)
	if err != nil {
		return errors.Join(err, end())
	}
	if err := rest(ctx); err != nil { // until it waits for an answer
		return errors.Join(err, end())
	}
	return errors.Join(running.stop(), begun.stop(), end())
}
