package core

import (
	"context"
	"sync"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
)

// reset lets the dialer reset the connection of an owned slot, in a goroutine
// that the pool waits for, and gives the slot back or retires it. Calls that wait
// meanwhile count it as a connection about to come, so that they do not dial for
// what takes one round trip; if it takes longer, they do.
//
//nolint:contextcheck,nolintlint // it lasts beyond the call, which contextcheck reports where it is called
func (s *subpool) reset(sl *slots.Slot) {
	s.mu.Lock()
	s.handingOver++
	s.mu.Unlock()
	s.pool.tasks.Go(func() {
		counted := sync.OnceFunc(func() { s.handedOver(false) })
		late := time.AfterFunc(dialHedge, counted)
		var err error
		usable := false // stays so if the reset ends the goroutine
		defer func() {
			if usable {
				s.giveBack(sl)
			} else {
				s.lose(sl, err, brokenByPeer(err))
			}
			late.Stop()
			counted()
		}()
		life, over := s.alive()
		defer over()
		ctx, cancel := context.WithTimeout(life, s.pool.settings().dialTimeout)
		defer cancel()
		if sl.Gen()&slots.Retired == 0 {
			err = guarded(func() error { return s.pool.reset(ctx, sl.Conn.Value) })
		}
		if life.Err() != nil {
			err = errDraining
		}
		usable = err == nil && sl.Gen()&slots.Retired == 0
	})
}
