package zk

import (
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

func TestNothingThatZooKeeperSendsHarmsAWatcher(t *testing.T) {
	discoverytest.RunHostile(t, func(t *testing.T) discoverytest.Fixture {
		t.Helper()
		s, err := newHostileServer()
		if err != nil {
			t.Fatal(err)
		}
		return discoverytest.Fixture{
			Watcher: func() (discovery.Watcher, error) {
				return Watcher([]string{s.ln.Addr().String()}, hostilePath, WithFormat(format.GRPCNaming()), SessionTimeout(time.Second)), nil
			},
			Put:           s.put,
			Close:         s.close,
			CountRequests: s.countRequests,
			Contradict:    s.while(s.contradict),
			Endless:       s.while(s.endless),
			Storm:         s.while(s.storm),
			Restless:      s.while(s.restless),
			Flood:         s.flood,
			PutUnchecked:  s.putUnchecked,
			Timeout:       time.Minute,
		}
	})
}
