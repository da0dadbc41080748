package main

import "net"

// protocol is what servers and arms speak. Nothing else depends on it.
type protocol struct {
	name string
	// listen returns the address that it listens on, and the function that answers there with the handler.
	listen func(addr string, h *handler) (at net.Addr, serve func() error, err error)
	arms   []arm
}

func protocols() []protocol {
	return []protocol{
		{"Thrift", listenThrift, thriftArms()},
		{"HTTP", listenHTTP, httpArms()},
	}
}
