//go:build go1.26

package httppool

import (
	"errors"
	"fmt"
	"strings"
)

// streamError has the fields of net/http's unexported error for a reset stream.
// errors.As of net/http's error fills any struct with the same fields.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e streamError) Error() string { return fmt.Sprintf("stream %d: code %d", e.StreamID, e.Code) }

const refusedStream = 7 // RFC 9113, section 7

// classifyHTTP2 wraps an error of HTTP/2 in errGone, errRefused or errInvalid if
// it proves that the server has not processed the request.
func classifyHTTP2(err error) error {
	var reset streamError
	if errors.As(err, &reset) && reset.Code == refusedStream {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	// net/http exports no errors for a connection that takes no more requests.
	// If its texts change, a request that must not be repeated fails.
	switch text := err.Error(); {
	case text == "http2: client conn not usable",
		text == "http2: client conn could not be established",
		text == "http2: Transport received Server's graceful shutdown GOAWAY":
		return fmt.Errorf("%w: %w", errGone, err)
	case strings.HasPrefix(text, "http2: invalid "): // such as a header of HTTP/1.1 connections
		return fmt.Errorf("%w: %w", errInvalid, err)
	default:
		return err
	}
}
