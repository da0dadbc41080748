package zk_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	client "github.com/go-zookeeper/zk"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/discovery/zk"
)

// smallBuffer relays connections to a server and closes those on which a request
// of more than most bytes comes, as a server with a small jute.maxbuffer does.
type smallBuffer struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (s *smallBuffer) listen(t *testing.T, server string, most uint32) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = l.Close()
		s.breakAll()
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", server)
			if err != nil {
				_ = c.Close()
				continue
			}
			s.mu.Lock()
			s.conns = append(s.conns, c, up)
			s.mu.Unlock()
			go func() { _, _ = io.Copy(c, up); _ = c.Close() }()
			go func() {
				defer up.Close()
				defer c.Close()
				for size := make([]byte, 4); ; {
					if _, err := io.ReadFull(c, size); err != nil || binary.BigEndian.Uint32(size) > most {
						return
					}
					if _, err := up.Write(size); err != nil {
						return
					}
					if _, err := io.CopyN(up, c, int64(binary.BigEndian.Uint32(size))); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

func (s *smallBuffer) breakAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close()
	}
	s.conns = nil
}

func TestManyWatchesAreSetAgainAtAServerThatTakesSmallRequestsOnly(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	root := newRoot(t, conn)
	create(t, conn, root, "")
	const n = 500
	var ops []any
	for i := range n {
		name, data, err := format.GRPCNaming().Encode(root, discovery.Endpoint{Addr: fmt.Sprintf("10.0.%d.%d:9090", i/250, i%250+1)})
		if err != nil {
			t.Fatal(err)
		}
		ops = append(ops, &client.CreateRequest{Path: root + "/" + name, Data: data, Acl: open()})
	}
	if _, err := conn.Multi(ops...); err != nil {
		t.Fatal(err)
	}
	var relay smallBuffer
	addr := relay.listen(t, list[0], 8<<10)
	w := begin(t, zk.Watcher([]string{addr}, root, zk.WithFormat(format.GRPCNaming()), zk.SessionTimeout(time.Minute)))
	w.until("all", func(eps []discovery.Endpoint) bool { return len(eps) == n })
	before := only(t, addr).ID()
	for i := range 3 {
		relay.breakAll()
		heavy := discovery.Endpoint{Addr: "10.0.1.7:9090", Weight: float64(i + 2)}
		name, data, err := format.GRPCNaming().Encode(root, heavy)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Set(root+"/"+name, data, -1); err != nil {
			t.Fatal(err)
		}
		w.until("the change", func(eps []discovery.Endpoint) bool {
			return slices.ContainsFunc(eps, func(e discovery.Endpoint) bool { return e.Equal(heavy) })
		})
	}
	if after := only(t, addr).ID(); after != before {
		t.Errorf("the session was 0x%x and is 0x%x", before, after)
	}
}
