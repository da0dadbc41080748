package util

import "github.com/minicaptain/multi_connection_pool/core"

// InitFrom makes a pool of what any watcher names.
func (p *MultiPool) InitFrom(w core.Watcher) error { return p.init(w) }

// Loans is how many loans of a connection are told apart.
const Loans = loans
