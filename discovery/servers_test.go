package discovery_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

func TestServersWithoutAPortGetTheDefaultPort(t *testing.T) {
	servers := []string{"a", "b:1", "[::1]", "[::2]:2", "unix:/run/a"}
	before := slices.Clone(servers)
	got, err := discovery.ServerAddrs(servers, 2181)
	want := []string{"a:2181", "b:1", "[::1]:2181", "[::2]:2", "unix:/run/a"}
	if !slices.Equal(got, want) || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if !slices.Equal(servers, before) {
		t.Errorf("the list was modified: %q", servers)
	}
}

func TestEveryInvalidServerIsReportedByItsPositionAndNotQuoted(t *testing.T) {
	bad := []string{"", ":1", "h:", "h:0", "h:65536", "::1:1", "h:1:2", "a b", "unix:", "unix:s", "[::1", "[::1]1", "http://u:secret@h:1"}
	_, err := discovery.ServerAddrs(append(slices.Clone(bad), "good:1"), 1)
	if err == nil {
		t.Fatal("no error")
	}
	for i := range bad {
		if part := fmt.Sprintf("server %d of %d: ", i+1, len(bad)+1); !strings.Contains(err.Error(), part) {
			t.Errorf("%q is accepted", bad[i])
		}
	}
	if strings.Contains(err.Error(), fmt.Sprintf("server %d of", len(bad)+1)) || strings.Contains(err.Error(), "secret") {
		t.Errorf("the error is %v", err)
	}
	if _, err := discovery.ServerAddrs(nil, 1); err == nil || !strings.Contains(err.Error(), "no server is listed") {
		t.Errorf("an empty list gave %v", err)
	}
}
