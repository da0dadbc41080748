package zk

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	client "github.com/go-zookeeper/zk"
)

const (
	// maxPacket bounds the size of a packet. 10,000 names are 0.2 MB.
	maxPacket = 64 << 20
	// maxHandshake bounds the size of the first packet. It exposes a server of
	// another protocol, whose first bytes the client would take for a size.
	maxHandshake = 4 << 10
	// maxSetWatches bounds the requests that set watches again. The client's own
	// bound is 128 KiB, and a server with a smaller jute.maxbuffer closes the
	// connection on which such a request comes.
	maxSetWatches = 4 << 10
)

// Operations and kinds of watches in the protocol.
const (
	opExists        = 3
	opGetData       = 4
	opGetChildren   = 12
	opRemoveWatches = 18
	opSetAuth       = 100
	opSetWatches    = 101
	opClose         = -11
	watchChildren   = 1
	watchData       = 2 // of a node that exists or may come to exist
)

// wire is the network connection below the client. It adds what the client
// lacks: the handshake has a deadline, no Write blocks for ever, watches can be
// removed, and many nodes can be read at once.
//
// It also holds back answers until the client has set its watches again on the
// new connection. The client asks for the watches that have fired since the last
// transaction that it has seen. If it saw an answer of the new connection first,
// it would miss the changes before that answer.
//
// Each Write of the client is a whole packet, so other packets fit in between.
type wire struct {
	net.Conn
	raw               net.Conn // the same, or the connection below TLS
	r                 *bufio.Reader
	handshakeDeadline time.Time
	writeTimeout      time.Duration
	onFailure         func(error)                 // called if the connection ends before the handshake
	onAnswer          func(timeout time.Duration) // called with each answer, and the session timeout that the ensemble has granted
	session           *inheritance
	closed            chan struct{} // closed by Close
	closing           sync.Once

	// Only the reader uses these:
	handshakeDone bool
	timeout       time.Duration // of the session
	ready         []byte        // what Read returns next
	remaining     int           // bytes of the frame that follow
	setsWatch     bool          // the frame answers a call that sets a watch
	answering     bool          // answers are no longer held back
	patience      time.Duration // of the client, when it began to wait

	mu         sync.Mutex
	wrote      bool
	resumes    bool               // the client resumes a session
	since      int64              // of the session, when the connection began
	spoken     chan struct{}      // closed when the client has sent a request, which it does when it has authenticated itself
	watchesSet chan struct{}      // closed when the client has set its watches again
	setting    map[int32]uint32   // operations of calls that set a watch, by their number
	own        map[int32]reaction // by the number of a request that is not the client's
	owned      int32              // such requests so far

	// settled means that the watches of the session are those of the connection. Only
	// from then on is what an answer tells of the past.
	settled atomic.Bool
}

// reaction is called by the reader with the reply to a request that is not the client's,
// from its error code on. It returns what the client gets instead, if anything. After an
// error the connection ends.
type reaction func(reply []byte) (instead []byte, err error)

// inheritance is what a connection of a session leaves to the next one.
type inheritance struct {
	watches  atomic.Bool  // whether the client has set any in this session
	seen     atomic.Int64 // the last transaction of which an answer told
	since    atomic.Int64 // the last one before which no event is missing
	oneByOne atomic.Bool  // the ensemble does not read many nodes at once
}

func newWire(c, raw net.Conn, handshakeDeadline time.Time, writeTimeout time.Duration, onFailure func(error), session *inheritance) *wire {
	return &wire{
		Conn: c, raw: raw, r: bufio.NewReaderSize(c, 64<<10),
		handshakeDeadline: handshakeDeadline, writeTimeout: writeTimeout, onFailure: onFailure, session: session,
		onAnswer: func(time.Duration) {}, closed: make(chan struct{}), spoken: make(chan struct{}),
		watchesSet: make(chan struct{}), setting: make(map[int32]uint32), own: make(map[int32]reaction),
	}
}

// SetReadDeadline replaces the client's deadline for the handshake, which is 6
// times the session timeout, and none at all once a first byte has come.
func (w *wire) SetReadDeadline(t time.Time) error {
	w.patience = time.Until(t)
	if !w.handshakeDone {
		t = w.handshakeDeadline
	}
	return w.Conn.SetReadDeadline(t)
}

// SetWriteDeadline does nothing: Write sets its own deadline.
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// Close closes the connection without TLS's close message, which may block.
func (w *wire) Close() error {
	w.closing.Do(func() { close(w.closed) })
	return w.raw.Close()
}

// Write writes whole packets.
func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.Conn.SetWriteDeadline(time.Now().Add(w.writeTimeout)); err != nil {
		return 0, err
	}
	b = w.noteLocked(b)
	if len(b) > maxSetWatches && binary.BigEndian.Uint32(b[8:]) == opSetWatches {
		if parts, ok := w.splitLocked(b); ok {
			if _, err := w.Conn.Write(parts); err != nil {
				return 0, err
			}
			return len(b), nil
		}
	}
	return w.Conn.Write(b)
}

// splitLocked makes several requests of one that sets watches. The last one has
// the number of the client's, and the answers to the others are dropped.
func (w *wire) splitLocked(b []byte) (parts []byte, ok bool) {
	const fixed = 20 // size, number, operation, last transaction
	var paths [3][]string
	size := fixed
	flush := func(number []byte) {
		from := len(parts)
		parts = append(append(parts, 0, 0, 0, 0), number...)
		parts = append(parts, b[8:fixed]...)
		for i, some := range paths {
			parts = binary.BigEndian.AppendUint32(parts, uint32(len(some)))
			for _, path := range some {
				parts = append(binary.BigEndian.AppendUint32(parts, uint32(len(path))), path...)
			}
			paths[i] = nil
		}
		binary.BigEndian.PutUint32(parts[from:], uint32(len(parts)-from-4))
		size = fixed
	}
	rest := b[fixed:]
	next := func() (n int) {
		if len(rest) < 4 {
			return -1
		}
		n = int(int32(binary.BigEndian.Uint32(rest)))
		rest = rest[4:]
		return n
	}
	for kind := range paths { // of data, of existence, of children
		for count := next(); count > 0; count-- {
			n := next()
			if n < 0 || n > len(rest) {
				return nil, false // not what the client sends today
			}
			if size+n > maxSetWatches && size > fixed {
				number := w.requestLocked(watchesAreSet(func() {}))
				flush(binary.BigEndian.AppendUint32(nil, uint32(number)))
			}
			paths[kind] = append(paths[kind], string(rest[:n]))
			size += 4 + n
			rest = rest[n:]
		}
	}
	flush(b[4:8])
	return parts, len(rest) == 0
}

// requestLocked returns the number for a request that is not the client's. The client's
// own numbers are not negative. The numbers from -9 to -1 have a meaning in the protocol.
func (w *wire) requestLocked(r reaction) (number int32) {
	w.owned = (w.owned + 1) & (1<<30 - 1)
	number = -10 - w.owned
	w.own[number] = r
	return number
}

// noteLocked notes what a packet of the client asks for, and returns it. A server that
// is behind what was seen in the session must not accept it again, so the handshake gets
// what answers have told to others than the client.
func (w *wire) noteLocked(b []byte) []byte {
	if !w.wrote { // the handshake: size, protocol, last transaction, session timeout, session
		w.wrote = true
		w.resumes = len(b) >= 28 && binary.BigEndian.Uint64(b[20:]) != 0
		if !w.resumes {
			w.session.watches.Store(false)
			return b
		}
		w.since = w.session.since.Load()
		if seen := w.session.seen.Load(); seen > int64(binary.BigEndian.Uint64(b[8:])) {
			b = slices.Clone(b)
			binary.BigEndian.PutUint64(b[8:], uint64(seen))
		}
		return b
	}
	if len(b) < 12 {
		return b
	}
	op := binary.BigEndian.Uint32(b[8:])
	if op != opSetAuth {
		select {
		case <-w.spoken:
		default:
			close(w.spoken)
		}
	}
	switch op {
	case opExists, opGetData, opGetChildren: // the last byte says whether to watch
		if b[len(b)-1] == 1 {
			w.setting[int32(binary.BigEndian.Uint32(b[4:]))] = binary.BigEndian.Uint32(b[8:])
		}
	case opSetWatches:
		w.setting[int32(binary.BigEndian.Uint32(b[4:]))] = op
		select {
		case <-w.watchesSet: // many watches take several packets
		default:
			close(w.watchesSet)
		}
	}
	return b
}

// Read returns what the server sends. It replaces the reply to each removal by
// an event that removes the watch from the client, too.
func (w *wire) Read(b []byte) (int, error) {
	n, err := w.read(b)
	if err != nil {
		if !w.handshakeDone {
			w.onFailure(handshakeError(err))
		}
		_ = w.Close() // a Write that blocks would keep the client from noticing
	}
	return n, err
}

func handshakeError(err error) error {
	if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
		return errors.New("it accepted the connection and did not answer")
	}
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return errors.New("it closed the connection without an answer: it has no quorum, or serves reads only, or the port is for TLS")
	}
	return err
}

// tlsError names the likely reason why a TLS handshake failed.
func tlsError(err error) error {
	switch {
	case errors.As(err, new(tls.RecordHeaderError)):
		return fmt.Errorf("it does not speak TLS: %w", err)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("it closed the connection in the TLS handshake, as a port without TLS does: %w", err)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("it did not answer the TLS handshake: %w", err)
	default:
		return fmt.Errorf("TLS handshake: %w", err)
	}
}

func (w *wire) read(b []byte) (int, error) {
	for len(w.ready) == 0 && w.remaining == 0 {
		if err := w.readFrame(); err != nil {
			return 0, err
		}
	}
	if len(w.ready) > 0 {
		n := copy(b, w.ready)
		w.ready = w.ready[n:]
		return n, nil
	}
	n, err := w.r.Read(b[:min(len(b), w.remaining)])
	if w.remaining -= n; w.remaining == 0 {
		w.handshakeDone = true
		if w.setsWatch {
			w.session.watches.Store(true)
		}
	}
	return n, err
}

// readFrame begins the next frame: its size, which excludes itself, the number
// of the call that it answers, and the last transaction. The handshake has other
// fields there.
func (w *wire) readFrame() error {
	head := make([]byte, 16)
	if _, err := io.ReadFull(w.r, head[:4]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(head)
	if !w.handshakeDone && (head[0] == 0x15 || head[0] == 0x16) && head[1] == 3 { // an alert or a handshake, version 3.x
		return errors.New("it speaks TLS: switch TLS on")
	}
	if size < 16 || size > maxPacket || !w.handshakeDone && size > maxHandshake {
		return fmt.Errorf("it sent a packet of %d bytes, which is not ZooKeeper", size)
	}
	if _, err := io.ReadFull(w.r, head[4:]); err != nil {
		return err
	}
	w.ready, w.remaining = head, int(size)-12
	if !w.handshakeDone { // protocol, session timeout, session
		w.timeout = time.Duration(binary.BigEndian.Uint32(head[8:])) * time.Millisecond
		if w.timeout > 0 { // else the session has expired
			w.onAnswer(w.timeout)
		}
		return w.fits(1) // the session's password
	}
	number, transaction := int32(binary.BigEndian.Uint32(head[4:])), int64(binary.BigEndian.Uint64(head[8:]))
	if number != -1 { // an event does not show that the ensemble hears the client
		w.onAnswer(w.timeout)
		w.saw(transaction)
	}
	own, op := w.takeCall(number)
	w.setsWatch = op != 0
	switch {
	case own != nil:
		return w.react(own)
	case number >= 0 && transaction > 0 && !w.answering:
		if err := w.awaitWatches(); err != nil {
			return err
		}
		w.answering = true
	}
	switch op {
	case opSetWatches: // the client does not look
		reply, err := w.r.Peek(4)
		if err == nil {
			_, err = watchesAreSet(func() {})(reply)
		}
		return err
	case opGetData:
		return w.fits(1)
	case opGetChildren:
		return w.fits(4) // each name has a length
	}
	return nil
}

// saw notes the transaction that an answer tells of.
func (w *wire) saw(transaction int64) {
	if seen := &w.session.seen; transaction > seen.Load() { // the session has one reader at a time
		seen.Store(transaction)
	}
	if w.settled.Load() {
		w.session.since.Store(w.session.seen.Load())
	}
}

// react reads the rest of a reply that is not for the client, which then has as much
// patience with the next one as it had with this one.
func (w *wire) react(own reaction) error {
	reply := make([]byte, w.remaining)
	w.ready, w.remaining = nil, 0
	err := w.extend()
	if err == nil {
		_, err = io.ReadFull(w.r, reply)
	}
	if err == nil {
		w.ready, err = own(reply)
	}
	return cmp.Or(err, w.extend())
}

// extend begins the client's deadline anew.
func (w *wire) extend() error {
	if w.patience <= 0 {
		return nil
	}
	return w.Conn.SetReadDeadline(time.Now().Add(w.patience))
}

// fits checks the first list of the frame, of parts that have so many bytes at
// least. Its length is behind four bytes: the end of the session's number, or the
// error of the call. The client allocates what a length says before it looks
// whether there is as much.
func (w *wire) fits(least int) error {
	const before = 8
	if w.remaining < before {
		return nil // an error, and no list
	}
	b, err := w.r.Peek(before)
	if err != nil {
		return err
	}
	if n := int(int32(binary.BigEndian.Uint32(b[4:]))); n > (w.remaining-before)/least {
		return fmt.Errorf("it sent a list of %d in a packet of %d bytes, which is not ZooKeeper", n, w.remaining)
	}
	return nil
}

// awaitWatches waits until the client, in a resumed session, has set its watches
// again. If it has no watch left, which is rare, it sets none, and the first
// answer is a second late.
//
// If the client gives the connection up before, no answer may come any more: it reads
// what it has seen, to set its watches again, and what comes would change that.
func (w *wire) awaitWatches() error {
	w.mu.Lock()
	resumes := w.resumes
	w.mu.Unlock()
	if !resumes || !w.session.watches.Load() {
		return nil
	}
	late := time.NewTimer(time.Second)
	defer late.Stop()
	select {
	case <-w.watchesSet:
	case <-late.C:
	case <-w.closed:
		return net.ErrClosed
	}
	return nil
}

// takeCall returns what is noted of the call with this number: what to do with the reply
// if it is not the client's, or its operation if it sets a watch.
func (w *wire) takeCall(number int32) (own reaction, op uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	own, op = w.own[number], w.setting[number]
	delete(w.own, number)
	delete(w.setting, number)
	return own, op
}

// removal is a watch to remove.
type removal struct {
	path string
	kind int32
}

// remove removes watches from the server and then from the client. To a handle
// that still needs one, it looks as if it had fired.
func (w *wire) remove(all []removal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var b []byte
	for _, r := range all {
		event := client.EventNodeDataChanged
		if r.kind == watchChildren {
			event = client.EventNodeChildrenChanged
		}
		instead := packet(int32(-1), int64(-1), int32(0), int32(event), int32(client.StateSyncConnected), r.path)
		number := w.requestLocked(func([]byte) ([]byte, error) { return instead, nil })
		b = append(b, packet(number, int32(opRemoveWatches), r.path, r.kind)...)
	}
	w.sendLocked(b)
}

// sendLocked sends requests that are not the client's. If this fails, the connection ends.
func (w *wire) sendLocked(b []byte) {
	if err := w.Conn.SetWriteDeadline(time.Now().Add(w.writeTimeout)); err == nil {
		if _, err = w.Conn.Write(b); err == nil {
			return
		}
	}
	_ = w.Close()
}

// packet returns a frame with the fields in ZooKeeper's encoding.
func packet(fields ...any) []byte {
	b := make([]byte, 4, 64)
	for _, f := range fields {
		switch f := f.(type) {
		case int32:
			b = binary.BigEndian.AppendUint32(b, uint32(f))
		case int64:
			b = binary.BigEndian.AppendUint64(b, uint64(f))
		case bool:
			b = append(b, 0)
			if f {
				b[len(b)-1] = 1
			}
		case string:
			b = binary.BigEndian.AppendUint32(b, uint32(len(f)))
			b = append(b, f...)
		}
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// acceptAll returns a connection to a server that accepts everything. A client
// gets it that is closed while it has no server, because its Close waits a second
// for the answer of one.
func acceptAll() net.Conn {
	near, far := net.Pipe()
	go func() { // ends when the client closes its side, after the answer to its last packet
		defer far.Close()
		answer := packet(int32(0), int32(10_000), int64(1), "0123456789abcdef") // protocol, session timeout, session, password
		for connected := false; ; connected = true {
			head := make([]byte, 8) // size and, after the handshake, number
			if _, err := io.ReadFull(far, head); err != nil {
				return
			}
			if _, err := io.CopyN(io.Discard, far, int64(binary.BigEndian.Uint32(head))-4); err != nil {
				return
			}
			if connected {
				answer = packet(int32(binary.BigEndian.Uint32(head[4:])), int64(0), int32(0))
			}
			if _, err := far.Write(answer); err != nil {
				return
			}
		}
	}()
	return near
}
