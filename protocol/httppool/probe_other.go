//go:build !linux

package httppool

import "net"

// probe does not exist here. What the peer did is known when net/http, which
// always has a read under way on an idle connection, was told of it: usually a
// few microseconds after the system was.
type probe struct{}

func newProbe(net.Conn) *probe { return nil }

func (p *probe) look() error { return nil }
