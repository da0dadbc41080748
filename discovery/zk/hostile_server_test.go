package zk

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	client "github.com/go-zookeeper/zk"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

const (
	opAuth        = 100
	opGetSync     = 9
	opPing        = 11
	hostilePath   = "/echo"
	hostileEvents = 1000 // of a storm that come at once
)

// hostileServer is a ZooKeeper of one node with children, until lie is set, which
// then answers the questions for them.
type hostileServer struct {
	ln        net.Listener
	accepting sync.WaitGroup
	running   sync.WaitGroup // connections
	requests  atomic.Int64

	mu       sync.Mutex
	zxid     int64
	children map[string]string
	lie      func(c *hostileConn, number, op int32, path string) (answer []byte)
	conns    map[*hostileConn]bool
}

// hostileConn is a connection, with the watches that the client has set.
type hostileConn struct {
	net.Conn
	s       *hostileServer
	mu      sync.Mutex // for writing, and watches
	watches map[string]int32
}

func newHostileServer() (*hostileServer, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &hostileServer{ln: ln, zxid: 10, children: map[string]string{}, conns: map[*hostileConn]bool{}}
	s.accepting.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			c := &hostileConn{Conn: nc, s: s, watches: map[string]int32{}}
			s.mu.Lock()
			s.conns[c] = true
			s.mu.Unlock()
			s.running.Go(c.serve)
		}
	})
	return s, nil
}

func (s *hostileServer) close() error {
	err := s.ln.Close()
	s.accepting.Wait() // or a connection that is being accepted would live on
	s.mu.Lock()
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
	return err
}

func (c *hostileConn) send(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.Write(b)
	return err
}

func (c *hostileConn) serve() {
	defer func() {
		c.s.mu.Lock()
		delete(c.s.conns, c)
		c.s.mu.Unlock()
		_ = c.Close()
	}()
	r := bufio.NewReader(c)
	for greeted := false; ; greeted = true {
		b, err := readPacket(r)
		if err != nil {
			return
		}
		before := c.s.now()
		answer := packet(int32(0), int32(1000), int64(7), "0123456789abcdef")
		if greeted {
			answer = c.answer(b)
		}
		if answer == nil || c.send(answer) != nil {
			return
		}
		// The event of a change that came in between may have been sent before the answer
		// to which it belongs, which a client does not expect: here it is again.
		if !greeted || c.s.now() == before {
			continue
		}
		if path, kind := watchOf(b); kind != 0 {
			c.watch(path, kind)
			if c.fire(1) != nil {
				return
			}
		}
	}
}

// watch notes that the client wants to be told of a change.
func (c *hostileConn) watch(path string, kind int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watches[path] = kind
}

// watchOf returns the path of a request, and the kind of the event for which it sets a
// watch; 0: none.
func watchOf(b []byte) (path string, kind int32) {
	switch op := int32(binary.BigEndian.Uint32(b[4:])); op {
	case opPing, opSetWatches, opAuth, opRemoveWatches, opClose, opGetSync:
		return "", 0
	default:
		n := binary.BigEndian.Uint32(b[8:])
		path = string(b[12 : 12+n])
		switch {
		case len(b) <= int(12+n) || b[12+n] != 1:
			return path, 0
		case op == opGetChildren:
			return path, int32(client.EventNodeChildrenChanged)
		default:
			return path, int32(client.EventNodeDataChanged)
		}
	}
}

// readPacket reads a packet without its size.
func readPacket(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	_, err := io.ReadFull(r, b)
	return b, err
}

// answer returns the answer to a request, nil to close the connection.
func (c *hostileConn) answer(b []byte) []byte {
	number, op := int32(binary.BigEndian.Uint32(b)), int32(binary.BigEndian.Uint32(b[4:]))
	switch op {
	case opPing, opAuth, opRemoveWatches:
		return packet(number, c.s.now(), int32(0))
	case opSetWatches:
		return c.setWatches(number, b[8:])
	case opClose:
		return nil
	}
	c.s.mu.Lock()
	lie := c.s.lie
	c.s.mu.Unlock()
	if op == opMultiRead {
		c.s.requests.Add(1)
		if lie != nil {
			return lie(c, number, op, "")
		}
		return c.s.answerMany(number, b[8:])
	}
	n := binary.BigEndian.Uint32(b[8:])
	path := string(b[12 : 12+n])
	if op == opGetSync {
		return packet(number, c.s.now(), int32(0), path)
	}
	c.s.requests.Add(1)
	if _, kind := watchOf(b); kind != 0 {
		c.watch(path, kind)
	}
	if lie != nil {
		return lie(c, number, op, path)
	}
	return c.s.answer(number, op, path)
}

func (s *hostileServer) now() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.zxid
}

// answer returns what a good server answers.
func (s *hostileServer) answer(number, op int32, path string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if op == opGetChildren && path == hostilePath {
		names := make([]string, 0, len(s.children))
		for name := range s.children {
			names = append(names, name)
		}
		return list(number, s.zxid, names)
	}
	data, ok := s.children[strings.TrimPrefix(path, hostilePath+"/")]
	if path == hostilePath {
		data, ok = "", true
	}
	switch {
	case !ok:
		return packet(number, s.zxid, int32(codeNoNode))
	case op == opGetData:
		return packet(append([]any{number, s.zxid, int32(0), data}, stat(s.zxid)...)...)
	default:
		return packet(append([]any{number, s.zxid, int32(0)}, stat(s.zxid)...)...)
	}
}

// answerMany returns what a good server answers to a MultiRead.
func (s *hostileServer) answerMany(number int32, b []byte) []byte {
	answer := packet(number, s.now(), int32(0))
	result := func(op int32, end bool, code int32) { answer = append(answer, packet(op, end, code)[4:]...) }
	for b[4] == 0 { // else the end: operation, end, error
		n := binary.BigEndian.Uint32(b[9:])
		one := s.answer(number, opGetData, string(b[13:13+n]))[16:] // error, data, stat
		b = b[13+n+1:]
		if code := int32(binary.BigEndian.Uint32(one)); code != 0 {
			result(-1, false, code)
			answer = append(answer, one[:4]...)
		} else {
			result(opGetData, false, 0)
			answer = append(answer, one[4:]...)
		}
	}
	result(-1, true, -1)
	binary.BigEndian.PutUint32(answer, uint32(len(answer)-4))
	return answer
}

// setWatches sets watches on nodes that were read before. Where nothing has changed
// since the transaction that the client names, no event is due.
func (c *hostileConn) setWatches(number int32, b []byte) []byte {
	since, b := int64(binary.BigEndian.Uint64(b)), b[8:]
	for _, kind := range []client.EventType{client.EventNodeDataChanged, client.EventNodeDataChanged, client.EventNodeChildrenChanged} {
		count := binary.BigEndian.Uint32(b)
		b = b[4:]
		for range count {
			n := binary.BigEndian.Uint32(b)
			c.watch(string(b[4:4+n]), int32(kind))
			b = b[4+n:]
		}
	}
	if c.s.now() > since && c.fire(1) != nil {
		return nil
	}
	return packet(number, c.s.now(), int32(0))
}

// list returns the answer with the names of the children.
func list(number int32, zxid int64, names []string) []byte {
	fields := []any{number, zxid, int32(0), int32(len(names))}
	for _, name := range names {
		fields = append(fields, name)
	}
	return packet(append(fields, stat(zxid)...)...)
}

func stat(zxid int64) []any {
	return []any{
		int64(1), int64(1), int64(0), int64(0), int32(0), int32(0), int32(0), int64(0), int32(0), int32(0), zxid,
	}
}

// change changes what is held, and lets the watches fire that are set.
func (s *hostileServer) change(f func()) {
	s.mu.Lock()
	f()
	s.zxid++
	conns := make([]*hostileConn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		_ = c.fire(1)
	}
}

// fire sends the events of all watches, so many times each.
func (c *hostileConn) fire(times int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for path, kind := range c.watches {
		event := packet(int32(-1), int64(-1), int32(0), kind, int32(client.StateSyncConnected), path)
		if _, err := c.Write([]byte(strings.Repeat(string(event), times))); err != nil {
			return err
		}
	}
	clear(c.watches)
	return nil
}

func (s *hostileServer) put(_ context.Context, set []discovery.Endpoint) error {
	children := make(map[string]string, len(set))
	for _, e := range set {
		name, data, err := format.GRPCNaming().Encode(hostilePath, e)
		if err != nil {
			return err
		}
		children[name] = string(data)
	}
	s.change(func() { s.children = children })
	return nil
}

func (s *hostileServer) putUnchecked(_ context.Context, e discovery.Endpoint) error {
	s.change(func() { s.children[fmt.Sprint("unchecked", s.zxid)] = discoverytest.GRPCNaming(e) })
	return nil
}

func (s *hostileServer) countRequests(context.Context) (int, error) {
	return int(s.requests.Load()), nil
}

func (s *hostileServer) while(lie func(c *hostileConn, number, op int32, path string) []byte) func(context.Context) (func() error, error) {
	return func(context.Context) (func() error, error) {
		s.change(func() { s.lie = lie })
		return func() error { s.change(func() { s.lie = nil }); return nil }, nil
	}
}

// contradict answers with lengths that are a little too large, nodes that are not
// there, names that come twice, and times that go back.
func (s *hostileServer) contradict(_ *hostileConn, number, op int32, path string) []byte {
	n := s.requests.Load()
	if op == opMultiRead {
		fields := []any{number, s.now() - n%3, int32(0), int32(opGetData), false, int32(0), "{}"}
		fields = append(append(fields, stat(3)...), int32(opGetData), n%2 == 0, int32(0), "{}")
		b := packet(append(append(fields, stat(3)...), int32(-1), true, int32(-1))...)
		b[32] = byte(n % 4 * 33) // the length of the first data
		return b
	}
	if op != opGetChildren {
		b := packet(append([]any{number, s.now() - n%3, int32(0), "{}"}, stat(3)...)...)
		if n%2 == 0 {
			return packet(number, s.now(), int32(codeNoNode))
		}
		if op == opGetData {
			b[23] = 99 // the length of the data
		}
		return b
	}
	b := list(number, s.now()-n%5, []string{"a", "a", "missing", "10.0.0.1:9090"})
	if n%2 == 0 {
		b[23] = 60 // the number of names
	}
	return b
}

// endless begins an answer of sixty mebibytes, and does not end it.
func (s *hostileServer) endless(c *hostileConn, number, _ int32, _ string) []byte {
	begin := packet(number, s.now(), int32(0), int32(1000), "a")
	binary.BigEndian.PutUint32(begin, 60<<20)
	if c.send(begin) != nil {
		return nil
	}
	for range 59 {
		if c.send(make([]byte, 1<<20)) != nil {
			return nil
		}
	}
	_, _ = io.Copy(io.Discard, c) // until the client gives up
	return nil
}

// storm answers well, and then sends each event a thousand times.
func (s *hostileServer) storm(c *hostileConn, number, op int32, path string) []byte {
	if c.send(s.answer(number, op, path)) != nil {
		return nil
	}
	s.mu.Lock()
	s.zxid++
	s.mu.Unlock()
	if c.fire(hostileEvents) != nil {
		return nil
	}
	return packet(int32(-2), s.now(), int32(0)) // as to a ping
}

// restless lists another child each time, and says at once that there are others.
func (s *hostileServer) restless(c *hostileConn, number, op int32, _ string) []byte {
	n := s.requests.Load()
	s.mu.Lock()
	s.zxid++
	s.mu.Unlock()
	addr := fmt.Sprintf("10.1.%d.%d:9090", n/250%250, n%250)
	answer := list(number, s.now(), []string{addr})
	if op != opGetChildren {
		answer = packet(append([]any{number, s.now(), int32(0), discoverytest.GRPCNaming(discovery.Endpoint{Addr: addr})}, stat(3)...)...)
	}
	if c.send(answer) != nil || c.fire(1) != nil {
		return nil
	}
	return packet(int32(-2), s.now(), int32(0))
}

func (s *hostileServer) flood(_ context.Context, entries, size int) (func() error, error) {
	names := make([]string, entries)
	for i := range names {
		names[i] = fmt.Sprintf("10.%d.%d.%d:9090", i>>16, i>>8&255, i&255)
	}
	// All have the same data: there are gigabytes of them.
	data := fmt.Sprintf(`{"Addr":"10.0.0.1:9090","x":%q}`, strings.Repeat("v", size-64))
	whole := packet(append([]any{int32(0), int64(11), int32(0), data}, stat(3)...)...)
	return s.while(func(_ *hostileConn, number, op int32, _ string) []byte {
		if op == opGetChildren {
			return list(number, s.now(), names)
		}
		b := slices.Clone(whole)
		binary.BigEndian.PutUint32(b[4:], uint32(number))
		return b
	})(context.Background())
}
