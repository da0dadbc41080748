package core_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

// asked is a Balancer whose picker asks the test for the address of an endpoint,
// until it is let go: then it always names one.
type asked struct {
	turns chan chan<- string
	free  chan struct{}
	last  string
}

func (a *asked) balancer() *scripted {
	return &scripted{pick: func(p *scriptedPicker, _ balance.PickInfo) int {
		answer := make(chan string, 1)
		select {
		case a.turns <- answer:
			return slices.Index(p.members(), <-answer)
		case <-a.free:
			return slices.Index(p.members(), a.last)
		}
	}}
}

// say answers the next n turns.
func (a *asked) say(n int, addr string) {
	for range n {
		<-a.turns <- addr
	}
}

// TestCallWhoseRoomIsTakenLooksForRoomElsewhere has a call find room at a:1, and
// lets another, which came before, fill a:1 before the first has asked for a dial.
// There is room at b:1 as well. Nobody wakes the call for that: the others did not
// see it, and what passes for room at a:1 goes to a call that does not accept b:1.
func TestCallWhoseRoomIsTakenLooksForRoomElsewhere(t *testing.T) {
	for range 20 { // a look begins with any server; the case needs a:1 before b:1
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, "a:1", "b:1", "full:1")
			picker := &asked{turns: make(chan chan<- string), free: make(chan struct{}), last: "full:1"}
			p := f.peekPool(core.WithBalancer(picker.balancer()), core.MaxActive(2), core.ValidateAfterIdle(0))
			leases := append(getMany(t, p, 2, core.WithEndpoint("full:1")), get(t, p, core.WithEndpoint("a:1")))
			idle := get(t, p, core.WithEndpoint("b:1"))
			looking, goOn, closing, connect := make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})
			idle.Conn().onClose = func() { <-closing }
			idle.Conn().fails(func(context.Context) error {
				close(looking)
				<-goOn
				return errRefused
			})
			release(t, idle)
			f.server("a:1").dialed(func(context.Context) error {
				<-connect
				return nil
			})

			first := background(t.Context(), p)
			picker.say(1, "full:1")
			firstTurn := <-picker.turns // it is in the queue
			ctx, cancel := context.WithCancel(t.Context())
			other := background(ctx, p, core.WithoutEndpoint("b:1"))
			picker.say(3, "full:1")
			otherTurn := <-picker.turns
			call := background(t.Context(), p)
			picker.say(3, "full:1")
			<-looking // at b:1, perhaps after a:1

			firstTurn <- "a:1"
			synctest.Wait() // it waits for its dial
			otherTurn <- "full:1"
			picker.say(2, "full:1")
			synctest.Wait() // there is nothing for it
			close(picker.free)
			close(connect)
			leases = append(leases, served(t, first))
			close(goOn)
			got := served(t, call)
			if addr := got.Endpoint().Addr; addr != "b:1" {
				t.Errorf("the call was served by %s, want b:1", addr)
			}

			cancel()
			_ = failed(t, other)
			close(closing)
			release(t, append(leases, got)...)
		})
	}
}
