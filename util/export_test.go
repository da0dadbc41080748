package util

import "github.com/minicaptain/multi_connection_pool/core"

// InitFromChildren makes a pool of the servers of a watcher as if they were children
// of a node, of which those in skipped are no servers.
func (p *MultiPool) InitFromChildren(w core.Watcher, skipped map[string]error) error {
	known := &children{ensemble: p.ZkServers, node: p.ZkNode}
	for name, err := range skipped {
		known.skip(name, err)
	}
	return p.init(w, known)
}

// InitFrom makes a pool of the servers of any watcher.
func (p *MultiPool) InitFrom(w core.Watcher) error { return p.init(w, nil) }

// LeaseNames is how many leases of a connection have names of their own.
const LeaseNames = leaseNames
