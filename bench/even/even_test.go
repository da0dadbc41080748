package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/bench/internal/servers"
)

func TestMain(m *testing.M) {
	servers.RunIfAsked(listeners())
	os.Exit(m.Run())
}

func TestARowHasAllFigures(t *testing.T) {
	var text strings.Builder
	if err := write(&text, settings{arms: "multipool", noises: "none", rate: 200, seconds: 3, window: time.Second, runs: 1}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), "| none | multipool |") {
		t.Errorf("there is no row:\n%s", text.String())
	}
	if strings.Contains(text.String(), "NaN") {
		t.Errorf("a figure is missing:\n%s", text.String())
	}
}
