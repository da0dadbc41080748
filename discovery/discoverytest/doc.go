// Package discoverytest is the conformance suite of discovery backends. [Run]
// tests a [discovery.Watcher] and [RunRegistrar] a [discovery.Registrar], with
// one subtest for each rule of the contract. [RunHostile] tests a watcher with a
// registry that is not what it should be.
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
//	Contradict, Endless, Storm,       a hostile registry
//	Restless, Flood, PutUnchecked
//	DeleteEntry, PutOrphan            entries that others delete or leave behind
//
// What is hostile depends on what a registry can send. Of this module's plugins,
// each against a server of its tests that speaks the protocol:
//
//	                zk                      etcd                    consul               combine              static
//	Contradict      lengths, names, times   pages, revisions        indexes, JSON        invalid, twice       -
//	Endless         a packet                pages                   a body               - (no wire)          - (no wire)
//	Storm           events                  changes                 answers at once      reports              Set
//	Restless        a new child each time   a new value each time   a new instance       a new set            a new set
//	Flood           nodes, large data       keys, large values      instances            reports              Set
//	PutUnchecked    data of a node          a value                 an instance (no      - (the watcher       - (Set refuses)
//	                                                                zone, no socket)     below checks)
//
// An API server of Kubernetes contradicts statuses, kinds and versions, sends names without
// end, events without a change, and slices. A server of DNS contradicts the question, sends messages without end, other records
// at each look and as many as fit. A file is half written, too large, and written over
// and over.
package discoverytest
