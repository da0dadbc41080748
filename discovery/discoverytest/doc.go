// Package discoverytest is the conformance suite of discovery backends. [Run]
// tests a [discovery.Watcher] and [RunRegistrar] a [discovery.Registrar], with
// one subtest for each rule of the contract.
//
// A backend passes a function that returns a new [Fixture] for each subtest:
//
//	func TestWatcher(t *testing.T) {
//		discoverytest.Run(t, func(t *testing.T) discoverytest.Fixture {
//			s := newService(t) // empty, and used by nothing else
//			return discoverytest.Fixture{
//				Watcher: s.watcher, // func() (discovery.Watcher, error)
//				Put:     s.put,     // func(ctx context.Context, set []discovery.Endpoint) error
//				Close:   s.close,   // func() error
//				Proxies: []*discoverytest.Proxy{s.proxy},
//			}
//		})
//	}
//
// Run requires Watcher, Put and Close; RunRegistrar requires Registrar,
// Entries and Close. All other functions are optional. A nil function skips the
// cases that need it, and the skip names the field:
//
//	Proxies, or Cut, Hang and Break   connections that are lost, silent or broken
//	ExpireSessions                    sessions and leases that expire
//	Compact                           a history that the registry has dropped
//	Remove                            a service that is removed and created again
//	RevokeAccess                      a permission that is revoked
//	PutMalformed, PutSibling          entries that do not belong to the service
//	CountRequests, CountWatches       the load on the registry
//	DeleteEntry, PutOrphan            entries that others delete or leave behind
package discoverytest
