package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/lifecycle"
)

// copied is the attribute by which a copy is known. A server that has it is not copied again,
// so that two copies in opposite directions do not keep each other alive.
const copied, copiedBy = "copied_by", "multipool"

func copyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "copy FROM TO",
		Short: "Mirror the servers of one registry into another",
		Long: `copy registers the servers of FROM in TO, with their weights, zones and attributes, and
follows all changes until it is interrupted: for a migration, in which clients look at TO
while servers still register in FROM.

A server that registers in TO by itself is left alone. The copies have the attribute
copied_by=multipool, and what has it is not copied: copies in both directions may run at
the same time. If TO's format has no attributes, the copies are not marked; run no copy in
the other direction then.

What vanishes from FROM all at once, as in an outage, stays in TO for --removal-grace. At the
end the copies are taken out of TO; with --keep, they stay until the registry drops them by
itself, which is when their TTL or session ends.

The exit code is 0 after Ctrl-C or SIGTERM, 1 if a copy may still be in TO against your wish,
and 2 if a URL is wrong.`,
		Example:           `  multipool copy 'zk://10.0.0.1/services/echo?format=curator' 'etcd://10.0.0.2/services/echo/?format=kratos'`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: completeURL(2),
	}
	out := outputFlag(cmd)
	keep := cmd.Flags().Bool("keep", false, "leave the copies in TO at the end, for as long as it keeps them")
	grace := cmd.Flags().Duration("removal-grace", 30*time.Second, "how long servers stay in TO of which more than half vanish from FROM at once")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		from, err := openWatcher(args[0])
		if err != nil {
			return err
		}
		to, err := openWatcher(args[1])
		if err != nil {
			return err
		}
		registrar, err := openRegistrar(args[1])
		if err != nil {
			return err
		}
		m := &mirror{registrar: registrar, log: &changeLog{out: cmd.OutOrStdout(), format: *out}, copies: make(map[string]*duplicate)}
		return m.run(cmd.Context(), from, to, *grace, *keep)
	}
	return cmd
}

// mirror keeps the servers of one registry in another.
type mirror struct {
	registrar discovery.Registrar
	log       *changeLog

	mu     sync.Mutex // of everything below
	from   []discovery.Endpoint
	to     []discovery.Endpoint
	known  [2]bool // there is a first set of from, of to
	copies map[string]*duplicate
}

// duplicate is a server that the mirror has registered.
type duplicate struct {
	of      discovery.Endpoint
	service *lifecycle.Service
	cancel  context.CancelFunc
	ended   chan struct{}
	err     error // once it has ended
}

func (m *mirror) run(ctx context.Context, from, to discovery.Watcher, grace time.Duration, keep bool) error {
	var watches sync.WaitGroup
	watches.Go(func() { m.follow(ctx, from, "from", grace, &m.from, &m.known[0]) })
	// Without a grace: what has left TO by itself is to be copied at once.
	watches.Go(func() { m.follow(ctx, to, "to", 0, &m.to, &m.known[1]) })
	watches.Wait()
	if keep {
		return nil // the entries outlive the process for their TTL
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.copies {
		d.cancel()
	}
	var errs []error
	for _, addr := range slices.Sorted(maps.Keys(m.copies)) {
		errs = append(errs, m.log.ended(m.copies[addr]))
	}
	if err := errors.Join(errs...); err != nil {
		return exit(exitFailed, err)
	}
	return nil
}

// follow keeps set as the registry has it.
func (m *mirror) follow(ctx context.Context, w discovery.Watcher, which string, grace time.Duration, set *[]discovery.Endpoint, known *bool) {
	complain := func(event string, err error) { m.log.failure(event, fmt.Errorf("%s: %w", which, err)) }
	discovery.Follow(ctx, w, discovery.Follower{
		RemovalGrace: grace,
		MaxEndpoints: discovery.DefaultMaxEndpoints,
		Changed: func(c discovery.Change) {
			m.mu.Lock()
			defer m.mu.Unlock()
			*set, *known = c.Set, true
			m.reconcileLocked(ctx)
		},
		Rejected: func(_ discovery.Endpoint, err error) { complain("rejected", err) },
		Warned: func(err error) {
			if err != nil {
				complain("warning", err)
			}
		},
		Retrying: func(err error) { complain("retrying", err) },
		Lost:     func(err error, _ time.Duration) { complain("lost", err) },
	})
}

// reconcileLocked registers what is missing in TO and removes what is too much.
func (m *mirror) reconcileLocked(ctx context.Context) {
	if !m.known[0] || !m.known[1] || ctx.Err() != nil {
		return
	}
	there := make(map[string]bool, len(m.to)) // servers that are in TO by themselves, or by a copy of ours
	for _, e := range m.to {
		there[e.Addr] = e.Attrs[copied] != copiedBy
	}
	wanted := make(map[string]bool, len(m.from))
	for _, e := range m.from {
		d := m.copies[e.Addr]
		if e.Attrs[copied] == copiedBy || d == nil && there[e.Addr] {
			continue
		}
		wanted[e.Addr] = true
		switch {
		case d == nil:
			m.addLocked(ctx, e)
		case !d.of.Equal(e):
			m.updateLocked(d, e) //nolint:contextcheck // it outlasts ctx, as addLocked says
		}
	}
	var gone []*duplicate
	for addr, d := range m.copies {
		if !wanted[addr] {
			delete(m.copies, addr)
			d.cancel()
			gone = append(gone, d)
		}
	}
	for _, d := range gone { // before one of them may be copied again
		_ = m.log.ended(d) // which has printed it
	}
}

// marked returns e with the attribute that marks a copy, if the registry holds it.
func (m *mirror) marked(e discovery.Endpoint) discovery.Endpoint {
	with := e
	with.Attrs = maps.Clone(e.Attrs)
	if with.Attrs == nil {
		with.Attrs = make(map[string]string)
	}
	with.Attrs[copied] = copiedBy
	if discovery.CanRegister(m.registrar, with) != nil {
		return e
	}
	return with
}

func (m *mirror) addLocked(ctx context.Context, e discovery.Endpoint) {
	service, err := lifecycle.New(m.registrar, m.marked(e),
		lifecycle.CheckInterval(time.Hour), lifecycle.Linger(0),
		lifecycle.OnRegistration(func(s discovery.State, err error) {
			if s == discovery.StateLost {
				m.log.failure("lost", fmt.Errorf("copying %s: %w", e.Addr, err))
			}
		}))
	if err != nil {
		m.log.failure("rejected", err)
		return
	}
	// The end of ctx is not that of the entry: run decides about that.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d := &duplicate{of: e, service: service, cancel: cancel, ended: make(chan struct{})}
	m.copies[e.Addr] = d
	m.log.servers("added", []discovery.Endpoint{e})
	go func() { // until cancel; whoever calls that waits for ended
		defer close(d.ended)
		d.err = service.Run(ctx, nil)
	}()
}

func (m *mirror) updateLocked(d *duplicate, e discovery.Endpoint) {
	with := m.marked(e)
	if err := d.service.Update(func(old *discovery.Endpoint) { *old = with }); err != nil {
		m.log.failure("rejected", err)
		return
	}
	d.of = e
	m.log.servers("updated", []discovery.Endpoint{e})
}

// ended waits until a copy has ended, prints how, and returns why it may still be in TO.
func (l *changeLog) ended(d *duplicate) error {
	<-d.ended
	if d.err != nil {
		l.failure("lost", d.err)
		return d.err
	}
	l.servers("removed", []discovery.Endpoint{d.of})
	return nil
}
