package zk

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	client "github.com/go-zookeeper/zk"
)

const (
	// largest is the size above which a reply is no reply: 10,000 names are
	// 0.2 MB.
	largest = 64 << 20
	// largestGreeting is the same for the first one. What speaks another
	// protocol shows by it, before the client takes its first bytes for a size.
	largestGreeting = 4 << 10
)

// Of the protocol: what is asked for, and kinds of watches.
const (
	opExists        = 3
	opGetData       = 4
	opGetChildren   = 12
	opRemoveWatches = 18
	opSetWatches    = 101
	opClose         = -11
	watchChildren   = 1
	watchData       = 2 // of a node that exists, or not
)

// wire is the connection below the client, which it watches over in these
// ways. A server that does not answer the greeting is left in time. Writing
// never blocks for ever. Watches can be removed, for which the client has no
// call. And no answer comes before the client has set up its watches again:
// it asks for those that have fired since the last answer, which must be the
// last one of the connection before, or changes are missed.
//
// Packets of the client are whole Writes, so others fit in between.
type wire struct {
	net.Conn
	raw     net.Conn // the same, or what is below TLS
	r       *bufio.Reader
	greetBy time.Time
	timeout time.Duration // of a Write
	failed  func(error)   // told of an end before the greeting
	watches *atomic.Bool  // whether the client has set any in this session

	// Of the reader:
	greeted bool
	ready   []byte // what Read returns next
	rest    int    // and after that, how much of the frame is still to be read
	arms    bool   // the frame is the answer to a call that sets a watch
	open    bool   // answers may come

	mu        sync.Mutex
	wrote     bool
	resumes   bool             // a session that there was before
	set       chan struct{}    // closed when the client has asked for its watches
	arming    map[int32]bool   // calls that set a watch, by their number
	forgotten map[int32][]byte // by the number of a removal: the event to make of its reply
	removals  int32
}

func newWire(c, raw net.Conn, greetBy time.Time, timeout time.Duration, failed func(error), watches *atomic.Bool) *wire {
	return &wire{
		Conn: c, raw: raw, r: bufio.NewReaderSize(c, 64<<10), greetBy: greetBy, timeout: timeout, failed: failed, watches: watches,
		set: make(chan struct{}), arming: make(map[int32]bool), forgotten: make(map[int32][]byte),
	}
}

// SetReadDeadline keeps the client from waiting for the greeting as long as it
// would: 6 times the session timeout, and for ever once its first byte is there.
func (w *wire) SetReadDeadline(t time.Time) error {
	if !w.greeted {
		t = w.greetBy
	}
	return w.Conn.SetReadDeadline(t)
}

// SetWriteDeadline does nothing: Write has its own.
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// Close does not say goodbye in TLS, which may block.
func (w *wire) Close() error { return w.raw.Close() }

// Write writes whole packets.
func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.Conn.SetWriteDeadline(time.Now().Add(w.timeout)); err != nil {
		return 0, err
	}
	w.noteLocked(b)
	return w.Conn.Write(b)
}

// noteLocked looks at a packet of the client.
func (w *wire) noteLocked(b []byte) {
	if !w.wrote { // size, protocol, last number of a change, session timeout, session
		w.wrote = true
		w.resumes = len(b) >= 28 && binary.BigEndian.Uint64(b[20:]) != 0
		if !w.resumes {
			w.watches.Store(false)
		}
		return
	}
	if len(b) < 12 {
		return
	}
	switch binary.BigEndian.Uint32(b[8:]) {
	case opExists, opGetData, opGetChildren: // whether to watch comes last
		if b[len(b)-1] == 1 {
			w.arming[int32(binary.BigEndian.Uint32(b[4:]))] = true
		}
	case opSetWatches:
		select {
		case <-w.set: // there are several when there is much to watch
		default:
			close(w.set)
		}
	}
}

// Read returns what the server sends, with the reply to each removal replaced
// by an event that makes the client forget the watch too.
func (w *wire) Read(b []byte) (int, error) {
	n, err := w.read(b)
	if err != nil {
		if !w.greeted {
			w.failed(greetingError(err))
		}
		_ = w.Close() // a Write that blocks would keep the client from seeing it
	}
	return n, err
}

func greetingError(err error) error {
	if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
		return errors.New("it was connected to and did not answer")
	}
	if errors.Is(err, io.EOF) {
		return errors.New("it closed the connection in place of an answer")
	}
	return err
}

func (w *wire) read(b []byte) (int, error) {
	for len(w.ready) == 0 && w.rest == 0 {
		if err := w.frame(); err != nil {
			return 0, err
		}
	}
	if len(w.ready) > 0 {
		n := copy(b, w.ready)
		w.ready = w.ready[n:]
		return n, nil
	}
	n, err := w.r.Read(b[:min(len(b), w.rest)])
	if w.rest -= n; w.rest == 0 {
		w.greeted = true
		if w.arms {
			w.watches.Store(true)
		}
	}
	return n, err
}

// frame begins the next frame: a size, which does not count itself, a number
// that tells whose reply it is, and the number of the last change. The
// greeting has other fields there.
func (w *wire) frame() error {
	head := make([]byte, 16)
	if _, err := io.ReadFull(w.r, head[:4]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(head)
	if size < 16 || size > largest || !w.greeted && size > largestGreeting {
		return fmt.Errorf("it sent a packet of %d bytes, which is not ZooKeeper", size)
	}
	if _, err := io.ReadFull(w.r, head[4:]); err != nil {
		return err
	}
	w.ready, w.rest = head, int(size)-12
	if !w.greeted {
		return nil
	}
	number, change := int32(binary.BigEndian.Uint32(head[4:])), int64(binary.BigEndian.Uint64(head[8:]))
	var event []byte
	event, w.arms = w.answered(number)
	switch {
	case event != nil:
		_, err := w.r.Discard(w.rest)
		w.ready, w.rest = event, 0
		return err
	case number >= 0 && change > 0 && !w.open:
		w.awaitWatches()
		w.open = true
	}
	return nil
}

// awaitWatches waits until the client, in a resumed session, has asked for its
// watches. In the rare case that it has none left it does not ask, and the
// first answer is late.
func (w *wire) awaitWatches() {
	w.mu.Lock()
	resumes := w.resumes
	w.mu.Unlock()
	if resumes && w.watches.Load() {
		within(time.Second, w.set)
	}
}

// answered returns what is known of the call with this number.
func (w *wire) answered(number int32) (event []byte, arms bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	event, arms = w.forgotten[number], w.arming[number]
	delete(w.forgotten, number)
	delete(w.arming, number)
	return event, arms
}

// removal is a watch to remove.
type removal struct {
	path string
	kind int32
}

// remove takes watches away from the server and then from the client. Whoever
// still needs one sees it as having fired.
func (w *wire) remove(all []removal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var b []byte
	for _, r := range all {
		// The client's own numbers are not negative, and those above -10 have
		// a meaning.
		w.removals = (w.removals + 1) & (1<<30 - 1)
		number := -10 - w.removals
		event := client.EventNodeDataChanged
		if r.kind == watchChildren {
			event = client.EventNodeChildrenChanged
		}
		w.forgotten[number] = packet(int32(-1), int64(-1), int32(0), int32(event), int32(client.StateSyncConnected), r.path)
		b = append(b, packet(number, int32(opRemoveWatches), r.path, r.kind)...)
	}
	// Whatever does not get through ends the connection, and with it the
	// server's watches; the client sets up again those that it has left.
	if err := w.Conn.SetWriteDeadline(time.Now().Add(w.timeout)); err == nil {
		if _, err = w.Conn.Write(b); err == nil {
			return
		}
	}
	_ = w.Close()
}

// packet is a frame of these fields, as ZooKeeper writes them.
func packet(fields ...any) []byte {
	b := make([]byte, 4, 64)
	for _, f := range fields {
		switch f := f.(type) {
		case int32:
			b = binary.BigEndian.AppendUint32(b, uint32(f))
		case int64:
			b = binary.BigEndian.AppendUint64(b, uint64(f))
		case string:
			b = binary.BigEndian.AppendUint32(b, uint32(len(f)))
			b = append(b, f...)
		}
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// farewell is a connection to a server that agrees to everything. A client
// that is closed while it has no server gets it: its Close would wait a second
// for the answer that only a server gives.
func farewell() net.Conn {
	near, far := net.Pipe()
	go func() { // ends when the client closes its side, after the answer to its last packet
		defer far.Close()
		answer := packet(int32(0), int32(10_000), int64(1), "0123456789abcdef") // protocol, session timeout, session, password
		for greeted := false; ; greeted = true {
			head := make([]byte, 8) // size and, after the greeting, number
			if _, err := io.ReadFull(far, head); err != nil {
				return
			}
			if _, err := io.CopyN(io.Discard, far, int64(binary.BigEndian.Uint32(head))-4); err != nil {
				return
			}
			if greeted {
				answer = packet(int32(binary.BigEndian.Uint32(head[4:])), int64(0), int32(0))
			}
			if _, err := far.Write(answer); err != nil {
				return
			}
		}
	}()
	return near
}
