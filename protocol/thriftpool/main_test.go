package thriftpool

import (
	"os"
	"testing"

	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
)

// TestMain fails when the tests leave a goroutine.
func TestMain(m *testing.M) { os.Exit(prototest.Run(m)) }
