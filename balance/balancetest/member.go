package balancetest

import (
	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/internal/load"
)

// NewMember returns a member that belongs to no pool, and its load.
func NewMember(e discovery.Endpoint) (balance.Member, *Load) {
	l := new(Load)
	return balance.NewMember(e, &l.load), l
}

// Load is the load of a member that belongs to no pool. At most 16,383 calls can
// be in flight. The methods are safe for concurrent use.
type Load struct{ load load.Load }

// Begin adds a call to the calls in flight.
func (l *Load) Begin() { l.load.Reserve() }

// End removes a call from the calls in flight.
func (l *Load) End() { l.load.Unreserve() }

// SetDown sets whether the endpoint cannot be dialed. The member is unavailable
// while the endpoint is down.
func (l *Load) SetDown(down bool) { l.load.SetDown(down) }
