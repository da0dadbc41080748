package httppool

import (
	"errors"
	"fmt"
	"strings"
)

// streamError gets the fields of the error that net/http has for a reset
// stream, which lets errors.As fill any struct that has the same.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e streamError) Error() string { return fmt.Sprintf("stream %d: code %d", e.StreamID, e.Code) }

const refusedStream = 7 // RFC 9113, section 7

// unseen makes an error of HTTP/2 one that is errGone, errRefused or errInvalid,
// if it says that the server has not looked at the request.
func unseen(err error) error {
	var reset streamError
	if errors.As(err, &reset) && reset.Code == refusedStream {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	// net/http has no names for what it says when the connection takes no more
	// requests. If the texts should change, a request that must not be repeated
	// fails.
	switch text := err.Error(); {
	case text == "http2: client conn not usable",
		text == "http2: client conn could not be established",
		text == "http2: Transport received Server's graceful shutdown GOAWAY":
		return fmt.Errorf("%w: %w", errGone, err)
	case strings.HasPrefix(text, "http2: invalid "): // such as a header that means a connection
		return fmt.Errorf("%w: %w", errInvalid, err)
	default:
		return err
	}
}
