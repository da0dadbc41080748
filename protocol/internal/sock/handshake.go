package sock

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
)

// explain adds to the error of a handshake what the server's answer, or the lack of
// one, says about a server that does not speak TLS.
func (l *layer) explain(err error) error {
	var plain tls.RecordHeaderError
	ok := errors.As(err, &plain)
	switch {
	case ok && string(plain.RecordHeader[:]) == "HTTP/":
		return fmt.Errorf("%w: the server speaks HTTP without TLS", err)
	case ok:
		return fmt.Errorf("%w: the server speaks without TLS, and began with %q", err, plain.RecordHeader[:])
	case !l.answered && !errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: the server answered nothing: it may not speak TLS", err)
	default:
		return err
	}
}
