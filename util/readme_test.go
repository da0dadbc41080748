package util_test

import (
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/util"
)

// These tests hold what the README of the first version shows, word for word where that
// was valid Go.

func TestREADMEPoolFromAServerList(t *testing.T) {
	srv1, srv2, srv3 := serve(t).addr, serve(t).addr, serve(t).addr

	testPool := &util.MultiPool{
		SingleMaxActiveCount: 10,
		SingleMaxIdleCount:   2,
		IdleTimeOut:          time.Second * 5,
		SingleFactory: func(server string, timeout time.Duration, tryCount int) util.Factory {
			return factory{server, timeout, tryCount}
		},
		Servers: []string{srv1, srv2, srv3},
	}

	testPool.InitFromServerList() //nolint:errcheck // as in the README; the calls below would fail

	callAll(t, testPool, srv1, srv2, srv3)
	testPool.Close()
}

func TestREADMEPoolFromTheChildrenOfANode(t *testing.T) {
	ensemble := ensemble(t)
	node := newNode(t, ensemble)
	srv1, srv2 := serve(t).addr, serve(t).addr
	register(t, ensemble, node, srv1)
	register(t, ensemble, node, srv2)

	testConnPool := &util.MultiPool{
		ZkServers:            ensemble,
		ZkNode:               node,
		SingleMaxActiveCount: 10,
		SingleMaxIdleCount:   2,
		IdleTimeOut:          time.Second * 5,
		SingleFactory: func(server string, timeout time.Duration, tryCount int) util.Factory {
			return factory{server, timeout, tryCount}
		},
		ZkSessionTimeout: time.Second,
	}

	testConnPool.InitFromZkChildrenNode() //nolint:errcheck // as in the README; the calls below would fail

	callAll(t, testConnPool, srv1, srv2)
	stop(t, testConnPool)
}

// callAll makes calls until each server has answered one.
func callAll(t *testing.T, p *util.MultiPool, servers ...string) {
	t.Helper()
	const most = 1000
	answered := map[string]bool{}
	for range most {
		answer, err := hello(p, "ada")
		if err != nil {
			t.Fatal(err)
		}
		server, said, _ := strings.Cut(answer, " ")
		if said != "ada" {
			t.Fatalf("the answer is %q", answer)
		}
		answered[server] = true
		if len(answered) == len(servers) {
			break
		}
	}
	for _, s := range servers {
		if !answered[s] {
			t.Errorf("%s answered none of %d calls", s, most)
		}
	}
}
