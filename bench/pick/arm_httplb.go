package main

import (
	"github.com/bufbuild/httplb/conn"
	"github.com/bufbuild/httplb/picker"
)

// httplbPicker is a picker of httplb, as its client gets it. It is not the default one.
type httplbPicker struct{ picker picker.Picker }

func openHTTPLB(n, busy int) (picking, error) {
	all := make(httplbConns, n)
	for i := range all {
		all[i] = new(httplbConn)
	}
	h := &httplbPicker{picker.NewPowerOfTwo(nil, all)}
	for range n * busy {
		if _, _, err := h.picker.Pick(nil); err != nil {
			return nil, err
		}
	}
	return h, nil
}

func (h *httplbPicker) call(times int) error {
	for range times {
		_, done, err := h.picker.Pick(nil)
		if err != nil {
			return err
		}
		done()
	}
	return nil
}

// httplbConn is a connection that no request is sent on.
type httplbConn struct {
	conn.Conn        // nil
	_         uint64 // not of size zero, so that each has an address of its own
}

type httplbConns []*httplbConn

func (c httplbConns) Len() int            { return len(c) }
func (c httplbConns) Get(i int) conn.Conn { return c[i] }
