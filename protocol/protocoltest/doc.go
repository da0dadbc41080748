// Package protocoltest tests that no server harms the client of a protocol. [Run]
// is the server: it hangs up, says nothing, answers without an end, too much, too
// little, too slowly or something else, with one subtest for each way.
//
// An adapter passes a function that returns a new [Fixture] for each subtest:
//
//	func TestNoServerHarmsAClient(t *testing.T) {
//		protocoltest.Run(t, func(*testing.T) protocoltest.Fixture {
//			return protocoltest.Fixture{
//				Client: newClient,   // func(addrs ...string) (*protocoltest.Client, error)
//				Read:   readRequest, // func(r *bufio.Reader) (protocoltest.Request, error)
//				Floods: floods,      // []protocoltest.Flood
//			}
//		})
//	}
//
// In each subtest, calls go to the hostile server alone, and to a good server
// beside it. Run checks that
//
//   - each call ends within its time,
//   - the memory of the process does not grow by more than [Fixture.MaxMemory],
//   - no call gets the answer of another one,
//   - the good server answers while the hostile one goes on,
//   - no goroutine and no connection is left when the client is closed.
//
// A nil field that a case needs skips the case, and the skip names the field.
package protocoltest
