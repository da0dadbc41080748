//go:build !go1.26 || httppool_go125

package httppool

import (
	"context"
	"net/http"
)

// single returns what sends requests on nc alone, and closes it. Before Go 1.26
// that is a transport for each connection; the tag httppool_go125 is for tests
// of it with a newer Go.
func (c *Conn) single(context.Context) (http.RoundTripper, func(), error) {
	return c.tr, c.tr.CloseIdleConnections, nil
}
