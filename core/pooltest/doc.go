// Package pooltest helps to test programs that call through a pool: servers that
// do what a test says, and a record of what happens in the pool. Nothing is
// listened to and nothing is dialed.
//
// A [Fleet] is both the watcher and the dialer of a pool. Each [Server] of it
// answers at once until the test says otherwise: [Server.Down], [Server.Fail],
// [Server.Hang], [Server.Slow], [Server.Recover]. A program's own type of
// connection asks with [Conn.Call] what its server does, see [Dialer]. A
// [Recorder] is an observer that keeps the events.
//
// # Time
//
// Pools back off, probe and expire in seconds. In a bubble of testing/synctest
// these take no time, and what happens does not depend on how busy the machine
// is. The pool must be made and closed inside of the bubble:
//
//	func TestServerThatIsDownGetsNoCalls(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			fleet := pooltest.NewFleet("a:1", "b:1")
//			var events pooltest.Recorder
//			pool, err := core.New(fleet, fleet, core.WithObserver(events.Observe))
//			if err != nil {
//				t.Fatal(err)
//			}
//			defer pool.Close(t.Context()) // or synctest.Test reports the pool's goroutines
//
//			fleet.Server("a:1").Down()
//			for range 100 {
//				if err := pool.Do(t.Context(), call, core.Attempts(3)); err != nil {
//					t.Error(err)
//				}
//				time.Sleep(10 * time.Millisecond) // which takes no time
//			}
//			fleet.Server("a:1").Recover()
//			if _, err := events.Wait(t.Context(), core.EventEndpointUp, "a:1"); err != nil {
//				t.Error(err) // the pool has not dialed it again
//			}
//		})
//	}
//
// where call is what the program does with a connection:
//
//	func call(ctx context.Context, c *pooltest.Conn) error { return c.Call(ctx) }
//
// The clock of a bubble stands still while any of its goroutines can run, and
// goes on to the next timer when all wait; synctest.Wait returns when all that can
// happen now has happened. A call that nothing will ever answer waits for as long
// as the pool has timers, so give it a context with a deadline. Sockets are not
// part of a bubble: use a Fleet, or net.Pipe.
package pooltest
