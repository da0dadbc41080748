package util

import "github.com/minicaptain/multi_connection_pool/core"

// InitFrom makes a pool of the servers of any watcher.
func (p *MultiPool) InitFrom(w core.Watcher) error { return p.init(w) }

// LeaseNames is how many leases of a connection have names of their own.
const LeaseNames = leaseNames
