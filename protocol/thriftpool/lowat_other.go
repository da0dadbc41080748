//go:build !linux

package thriftpool

import "net"

// lowWater returns nil: only Linux can wait for a number of bytes.
func lowWater(net.Conn) func(n int) { return nil }
