package netpool_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/minicaptain/multi_connection_pool/protocol/netpool"
)

func TestTextOfACauseOfAnyLengthIsCut(t *testing.T) {
	long := fmt.Errorf("%s: %w", strings.Repeat("long ", 1<<20), io.ErrNoProgress)
	err := &netpool.Error{Endpoint: "a:1", Err: long, Returned: long}
	if n := len(err.Error()); n < 4000 || n > 9000 || !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("%d bytes, matches the cause: %v", n, errors.Is(err, io.ErrNoProgress))
	}
}
