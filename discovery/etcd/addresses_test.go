package etcd_test

import (
	"context"
	"encoding/binary"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/etcd"
)

// resolveAs makes each name resolve to what addrs returns, in that order, until
// the end of the test. No address means that there is no such name.
func resolveAs(t *testing.T, addrs func() []string) {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	before := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", server.LocalAddr().String())
	}}
	answered := make(chan struct{})
	go func() { // ends when the server is closed
		defer close(answered)
		question := make([]byte, 512)
		for {
			n, from, err := server.ReadFrom(question)
			if err != nil {
				return
			}
			_, _ = server.WriteTo(dnsAnswer(question[:n], addrs()), from)
		}
	}()
	t.Cleanup(func() {
		net.DefaultResolver = before
		_ = server.Close()
		<-answered
	})
}

// dnsAnswer is the answer to a question of one name (RFC 1035, section 4).
func dnsAnswer(question []byte, addrs []string) []byte {
	const header, typeA, noSuchName = 12, 1, 3
	end := header
	for question[end] != 0 {
		end += 1 + int(question[end])
	}
	end += 5 // the root, the type and the class
	if binary.BigEndian.Uint16(question[end-4:]) != typeA {
		if len(addrs) > 0 {
			addrs = addrs[:0]
		}
	}
	answer := append([]byte(nil), question[:end]...)
	answer[2], answer[3] = 0x85, 0x80
	if addrs == nil {
		answer[3] |= noSuchName
	}
	binary.BigEndian.PutUint16(answer[6:], uint16(len(addrs)))
	binary.BigEndian.PutUint32(answer[8:], 0) // no other records
	for _, addr := range addrs {
		answer = append(answer, 0xc0, header, 0, typeA, 0, 1, 0, 0, 0, 0, 0, 4) // the name asked for, no time to live
		answer = append(answer, net.ParseIP(addr).To4()...)
	}
	return answer
}

// TestNextAddressOfANameIsUsedIfTheFirstHangs has an address that accepts
// connections and is silent.
func TestNextAddressOfANameIsUsedIfTheFirstHangs(t *testing.T) {
	c := startCluster(t, 1)
	_, port, _ := net.SplitHostPort(c.addrs()[0])
	silent, err := net.Listen("tcp", "127.0.0.2:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	resolveAs(t, func() []string { return []string{"127.0.0.2", "127.0.0.1"} })
	put(t, raw(t, c.addrs()), "/x/a", entry("10.0.0.1:80"))
	start := time.Now()
	discoverytest.Follow(t, etcd.Watcher([]string{"etcd.test:" + port}, "/x/")).Await("10.0.0.1:80")
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("the set came after %v", d)
	}
}

// TestNameThatMovesIsFollowed has a name that does not exist at first, and
// whose address changes later.
func TestNameThatMovesIsFollowed(t *testing.T) {
	c := startCluster(t, 1)
	_, port, _ := net.SplitHostPort(c.addrs()[0])
	now := make(chan []string, 1)
	now <- nil
	resolveAs(t, func() []string {
		is := <-now
		now <- is
		return is
	})
	move := func(to ...string) { <-now; now <- to }
	w := etcd.Watcher([]string{"etcd.test:" + port}, "/x/")
	if err := discoverytest.Follow(t, w).Fails(); !strings.Contains(err.Error(), "no such host") {
		t.Errorf("error %v, want one that names the cause", err)
	}
	f := discoverytest.Follow(t, w)
	move("127.0.0.1")
	f.Await()
	c.members[0].kill()
	c.members[0].flags = moved(c.members[0].flags, "127.0.0.1:"+port, "127.0.0.3:"+port)
	move("127.0.0.3")
	c.start(c.members[0])
	put(t, raw(t, []string{"127.0.0.3:" + port}), "/x/a", entry("10.0.0.1:80"))
	f.Await("10.0.0.1:80")
}

func moved(flags []string, from, to string) []string {
	all := make([]string, len(flags))
	for i, f := range flags {
		all[i] = strings.ReplaceAll(f, from, to)
	}
	return all
}
