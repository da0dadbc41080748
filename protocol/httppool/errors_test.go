//go:build go1.26

package httppool

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestTextOfACauseOfAnyLengthIsCut(t *testing.T) {
	long := fmt.Errorf("%s: %w", strings.Repeat("long ", 1<<20), io.ErrNoProgress)
	err := &Error{Endpoint: "a:1", Err: long}
	if n := len(err.Error()); n < 4000 || n > 9000 || !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("%d bytes, matches the cause: %v", n, errors.Is(err, io.ErrNoProgress))
	}
}
