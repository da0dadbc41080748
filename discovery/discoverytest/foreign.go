package discoverytest

import (
	"context"
	"slices"

	"github.com/minicaptain/multi_connection_pool/core"
)

// foreignRules are about entries that are not the watcher's business.
func foreignRules() []rule {
	return []rule{
		{
			name:  "Malformed",
			says:  "an entry that cannot be read is skipped, and holds up no other",
			check: checkMalformed,
		},
		{
			name:  "Beside",
			says:  "entries of a place whose name begins with the name of this one are not reported",
			check: checkBeside,
		},
	}
}

// checkMalformed spoils the place while a watch runs, and shows it spoilt to a
// watch that begins.
func checkMalformed(ctx context.Context, x *exam) error {
	spoiler, ok := x.place.(Spoiler)
	if !ok {
		return lacks("Spoiler", "hold malformed entries")
	}
	running, err := x.openAt(ctx, eps(0, 3)...)
	if err != nil {
		return err
	}
	if err := tried("spoiling", spoiler.Spoil(ctx)); err != nil {
		return err
	}
	begun, err := x.open(ctx)
	if err != nil {
		return err
	}
	if err := begun.await(eps(0, 3)); err != nil {
		return err
	}
	for _, s := range []*session{running, begun} {
		if err := s.settle(eps(0, 3)); err != nil {
			return err
		}
	}
	if err := follow(ctx, x, begun, eps(0, 3), eps(1, 5)); err != nil {
		return err
	}
	if err := running.await(eps(1, 5), eps(0, 3)); err != nil {
		return err
	}
	if err := running.stop(); err != nil {
		return err
	}
	return begun.stop()
}

func checkBeside(ctx context.Context, x *exam) error {
	n, ok := x.place.(Neighbour)
	if !ok {
		return lacks("Neighbour", "have another place beside it")
	}
	beside := func(eps []core.Endpoint) error { return tried("putting beside", n.PutBeside(ctx, eps)) }
	if err := x.put(ctx, eps(0, 2)...); err != nil {
		return err
	}
	if err := beside(eps(100, 102)); err != nil {
		return err
	}
	s, err := x.open(ctx)
	if err != nil {
		return err
	}
	if err := s.await(eps(0, 2)); err != nil {
		return err
	}
	if err := beside(eps(101, 104)); err != nil {
		return err
	}
	if err := follow(ctx, x, s, eps(0, 2), slices.Concat(eps(0, 2), eps(5, 6))); err != nil {
		return err
	}
	return s.stop()
}
