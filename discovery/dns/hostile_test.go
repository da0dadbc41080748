package dns_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/dns"
)

// TestNothingThatDNSSendsHarmsAWatcher has a server of its own. An answer has 64 KiB at
// most and no values, and no record can hold an endpoint above a bound.
func TestNothingThatDNSSendsHarmsAWatcher(t *testing.T) {
	discoverytest.RunHostile(t, func(t *testing.T) discoverytest.Fixture {
		h := startHostileDNS(t)
		return discoverytest.Fixture{
			Watcher: func() (discovery.Watcher, error) {
				return dns.Watcher([]string{h.listener.Addr().String()}, "echo.test:9090", dns.MinTTL(100*time.Millisecond)), nil
			},
			Put:           h.put,
			Close:         func() error { return nil },
			CountRequests: h.countRequests,
			// Of another question, without its records, or cut short.
			Contradict: h.while(func(nc net.Conn, q dnsmessage.Message, n int) {
				switch n % 4 {
				case 0:
					q.Header.ID++
				case 1:
					q.Questions[0].Name = dnsmessage.MustNewName("other.test.")
				}
				b := h.answer(q, h.addresses())
				switch n % 4 {
				case 2:
					binary.BigEndian.PutUint16(b[6:], 40_000) // answers
				case 3:
					b = b[:len(b)-5]
				}
				_ = send(nc, b)
			}),
			Endless: h.while(func(nc net.Conn, q dnsmessage.Message, _ int) {
				b := h.answer(q, nil)
				b = append(b, make([]byte, 60_000-len(b))...)
				binary.BigEndian.PutUint16(b[6:], 5_000)
				for send(nc, b) == nil { // messages without end
				}
			}),
			Restless: h.while(func(nc net.Conn, q dnsmessage.Message, n int) {
				_ = send(nc, h.answer(q, []netip.Addr{netip.AddrFrom4([4]byte{10, 9, byte(n >> 8), byte(n)})}))
			}),
			Flood: func(ctx context.Context, entries, _ int) (func() error, error) {
				var many []netip.Addr
				for i := range min(entries, 4_000) { // that fit
					many = append(many, netip.AddrFrom4([4]byte{10, 8, byte(i >> 8), byte(i)}))
				}
				return h.while(func(nc net.Conn, q dnsmessage.Message, _ int) { _ = send(nc, h.answer(q, many)) })(ctx)
			},
			Timeout: time.Minute,
		}
	})
}

// hostileDNS answers with the addresses of a set, until lie is set, which then answers.
type hostileDNS struct {
	listener net.Listener

	mu       sync.Mutex
	set      []netip.Addr
	lie      func(nc net.Conn, q dnsmessage.Message, n int)
	requests int
}

// zone answers as a server would that has the records of some names and types, and fails for others.
func zone(h *hostileDNS, fails func(name string) bool, records func(name string, kind dnsmessage.Type) []dnsmessage.ResourceBody) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lie = func(nc net.Conn, q dnsmessage.Message, _ int) {
		m := dnsmessage.Message{Header: q.Header, Questions: q.Questions}
		m.Response, m.Authoritative = true, true
		name := strings.ToLower(q.Questions[0].Name.String())
		if fails(name) {
			m.RCode = dnsmessage.RCodeServerFailure
		} else {
			for _, body := range records(name, q.Questions[0].Type) {
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Questions[0].Name, Class: dnsmessage.ClassINET}, Body: body})
			}
		}
		if b, err := m.Pack(); err == nil {
			_ = send(nc, b)
		}
	}
}

// A target whose servers fail keeps its addresses, also where all servers failed for so long that the watch was lost.
func TestTargetKeepsItsAddressesBeyondAWatch(t *testing.T) {
	h := startHostileDNS(t)
	records := func(name string, kind dnsmessage.Type) (all []dnsmessage.ResourceBody) {
		if kind == dnsmessage.TypeSRV {
			for _, target := range []string{"a.test.", "b.test."} {
				all = append(all, &dnsmessage.SRVResource{Priority: 1, Weight: 1, Port: 80, Target: dnsmessage.MustNewName(target)})
			}
			return all
		}
		if kind == dnsmessage.TypeA {
			all = append(all, &dnsmessage.AResource{A: [4]byte{10, 0, 0, name[0]}})
		}
		return all
	}
	zone(h, func(string) bool { return false }, records)
	s := follow(t, []string{h.listener.Addr().String()}, "_s._tcp.test")
	s.is("10.0.0.97:80*1", "10.0.0.98:80*1")
	zone(h, func(string) bool { return true }, records)
	s.until("a loss", func() bool { return len(s.lost) > 0 })
	before := 0
	s.note(func() { before = s.reports })
	zone(h, func(name string) bool { return name == "b.test." }, records)
	s.until("a report", func() bool { return s.reports > before })
	s.is("10.0.0.97:80*1", "10.0.0.98:80*1")
}

// A server that has no longer the zone is passed over, and if all have not, the set stays.
func TestServerThatRefersToOthersIsPassedOver(t *testing.T) {
	lame, good := startHostileDNS(t), startHostileDNS(t)
	set := []discovery.Endpoint{{Addr: "10.0.0.1:80"}}
	if err := errors.Join(lame.put(t.Context(), set), good.put(t.Context(), set)); err != nil {
		t.Fatal(err)
	}
	s := follow(t, []string{lame.listener.Addr().String(), good.listener.Addr().String()}, "echo.test:80", dns.WithFamily("ipv4"))
	s.is("10.0.0.1:80")
	refer := func(nc net.Conn, q dnsmessage.Message, _ int) {
		m := dnsmessage.Message{Header: q.Header, Questions: q.Questions}
		m.Response = true
		m.Authorities = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName("."), Class: dnsmessage.ClassINET},
			Body:   &dnsmessage.NSResource{NS: dnsmessage.MustNewName("ns.example.")},
		}}
		if b, err := m.Pack(); err == nil {
			_ = send(nc, b)
		}
	}
	if _, err := lame.while(refer)(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := good.put(t.Context(), []discovery.Endpoint{{Addr: "10.0.0.2:80"}}); err != nil {
		t.Fatal(err)
	}
	s.is("10.0.0.2:80")
	if _, err := good.while(refer)(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.says("referred to other servers")
	s.is("10.0.0.2:80")
}

func startHostileDNS(t *testing.T) *hostileDNS {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &hostileDNS{listener: l}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { h.serve(nc) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	return h
}

func (h *hostileDNS) serve(nc net.Conn) {
	defer nc.Close()
	for {
		head := make([]byte, 2)
		if _, err := io.ReadFull(nc, head); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint16(head))
		if _, err := io.ReadFull(nc, body); err != nil {
			return
		}
		var q dnsmessage.Message
		if err := q.Unpack(body); err != nil {
			return
		}
		h.mu.Lock()
		h.requests++
		n, lie := h.requests, h.lie
		h.mu.Unlock()
		if lie != nil {
			lie(nc, q, n)
			return // a lie is the last of its connection
		}
		if send(nc, h.answer(q, h.addresses())) != nil {
			return
		}
	}
}

func send(nc net.Conn, b []byte) error {
	_, err := nc.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
	return err
}

func (h *hostileDNS) addresses() []netip.Addr {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.set
}

// answer is a message with records of all addresses for questions of their family.
func (*hostileDNS) answer(q dnsmessage.Message, addrs []netip.Addr) []byte {
	m := dnsmessage.Message{Header: q.Header, Questions: q.Questions}
	m.Header.Response, m.Header.Authoritative = true, true
	for _, a := range addrs {
		if q.Questions[0].Type == dnsmessage.TypeA {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Questions[0].Name, Class: dnsmessage.ClassINET},
				Body:   &dnsmessage.AResource{A: a.As4()},
			})
		}
	}
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

func (h *hostileDNS) put(_ context.Context, set []discovery.Endpoint) error {
	var addrs []netip.Addr
	for _, e := range set {
		ap, err := netip.ParseAddrPort(e.Addr)
		if err != nil {
			return err
		}
		addrs = append(addrs, ap.Addr())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.set = addrs
	return nil
}

func (h *hostileDNS) countRequests(context.Context) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.requests, nil
}

// while lets lie answer, until restore.
func (h *hostileDNS) while(lie func(net.Conn, dnsmessage.Message, int)) func(context.Context) (func() error, error) {
	set := func(f func(net.Conn, dnsmessage.Message, int)) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.lie = f
	}
	return func(context.Context) (func() error, error) {
		set(lie)
		return func() error { set(nil); return nil }, nil
	}
}
