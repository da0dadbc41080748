package main

import (
	"os"
	"testing"

	"github.com/minicaptain/multi_connection_pool/bench/internal/endtoend/endtoendtest"
)

func TestMain(m *testing.M) {
	comparison().ServeIfAsked()
	os.Exit(m.Run())
}

func TestComparison(t *testing.T) {
	endtoendtest.Run(t, comparison(), "G1", "G2", "G3")
}
