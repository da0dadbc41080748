package zk

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	client "github.com/go-zookeeper/zk"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/plugintest"
)

// failsWith connects to what is no ZooKeeper server and returns the failure that
// hosts describes.
func failsWith(t *testing.T, addr string, opts ...Option) string {
	t.Helper()
	c := newConfig([]string{addr}, "/a", append(opts, SessionTimeout(time.Second)))
	h, err := acquire(c, "/a", false, "")
	if err != nil {
		t.Fatal(err)
	}
	defer h.release()
	for start := time.Now(); time.Since(start) < 10*time.Second; time.Sleep(5 * time.Millisecond) {
		if failures := h.s.hosts.describeFailures(); strings.HasPrefix(failures, addr) {
			return failures
		}
	}
	t.Fatal("no failure within 10 s")
	return ""
}

// listen serves each connection with f.
func listen(t *testing.T, f func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go f(c)
		}
	}()
	return l.Addr().String()
}

func TestServerThatDoesNotAnswerTheHandshakeIsLeft(t *testing.T) {
	held := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	if got := failsWith(t, listen(t, held)); !strings.Contains(got, "did not answer") {
		t.Errorf("the failure is %s", got)
	}
	// The client itself would wait for the rest for ever.
	partial := func(c net.Conn) { _, _ = c.Write([]byte{0, 0, 0, 37, 0, 0}); held(c) }
	if got := failsWith(t, listen(t, partial)); !strings.Contains(got, "did not answer") {
		t.Errorf("the failure is %s", got)
	}
	if got := failsWith(t, listen(t, func(c net.Conn) { _ = c.Close() })); !strings.Contains(got, "closed") && !strings.Contains(got, "reset") {
		t.Errorf("the failure is %s", got)
	}
}

// "HTTP" as a size is 1.2 GB, which the client itself would allocate.
func TestServerOfAnotherProtocolIsReported(t *testing.T) {
	http := listen(t, func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) })
	if got := failsWith(t, http); !strings.Contains(got, "not ZooKeeper") {
		t.Errorf("the failure is %s", got)
	}
}

// reply returns the server's reply to the call with this number.
func reply(number int32, body string) []byte {
	return packet(number, int64(7), int32(0), body)
}

func TestReplyToARemovalBecomesAnEventAndAllOtherBytesStay(t *testing.T) {
	near, far := net.Pipe()
	w := newWire(near, near, time.Now().Add(time.Minute), time.Minute, func(error) {}, new(inheritance))
	defer w.Close()
	greeting := packet(int32(0), int32(10_000), int64(1), "0123456789abcdef")
	sent := make(chan []byte, 1)
	go func() {
		var got []byte
		buf := make([]byte, 1024)
		n, _ := far.Read(buf)
		got = append(got, buf[:n]...)
		sent <- got
		_, _ = far.Write(greeting)
		_, _ = far.Write(reply(1, "one"))
		_, _ = far.Write(packet(int32(-11), int64(7), int32(0)))
		_, _ = far.Write(reply(2, "two"))
		_, _ = far.Write(packet(int32(-12), int64(7), int32(-121))) // no such watch
		_, _ = far.Write(reply(3, strings.Repeat("three", 50_000)))
		_ = far.Close()
	}()
	w.remove([]removal{{"/a", watchChildren}, {"/a/b", watchData}})
	wantSent := append(packet(int32(-11), int32(opRemoveWatches), "/a", int32(watchChildren)),
		packet(int32(-12), int32(opRemoveWatches), "/a/b", int32(watchData))...)
	if got := <-sent; !bytes.Equal(got, wantSent) {
		t.Errorf("sent was %x, want %x", got, wantSent)
	}
	event := func(what client.EventType, path string) []byte {
		return packet(int32(-1), int64(-1), int32(0), int32(what), int32(3), path)
	}
	want := bytes.Join([][]byte{
		greeting, reply(1, "one"), event(client.EventNodeChildrenChanged, "/a"),
		reply(2, "two"), event(client.EventNodeDataChanged, "/a/b"), reply(3, strings.Repeat("three", 50_000)),
	}, nil)
	got, err := io.ReadAll(w)
	if !bytes.Equal(got, want) {
		t.Errorf("read were %d bytes (%v), want %d", len(got), err, len(want))
	}
}

// The client asks for the watches that have fired since the last answer. An
// answer on the new connection would hide the changes before it.
func TestNoAnswerComesBeforeTheClientHasSetItsWatches(t *testing.T) {
	connect := func(session int64) []byte {
		return packet(int32(0), int64(5), int32(10_000), session, "0123456789abcdef")
	}
	greeting := packet(int32(0), int32(10_000), int64(1), "0123456789abcdef")
	auth := packet(int32(4), int64(0), int32(0)) // which the client waits for before it asks
	answer := reply(5, "data")
	ask := packet(int32(6), int32(opSetWatches), int64(5), int32(0), int32(0), int32(0))
	for _, c := range []struct {
		what           string
		session        int64
		watches, waits bool
	}{{"a new session", 0, true, false}, {"without watches", 1, false, false}, {"with watches", 1, true, true}} {
		near, far := net.Pipe()
		var memory inheritance
		memory.watches.Store(c.watches)
		w := newWire(near, near, time.Now().Add(time.Minute), time.Minute, func(error) {}, &memory)
		go func() { _, _ = io.Copy(io.Discard, far) }()
		if _, err := w.Write(connect(c.session)); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = far.Write(slices.Concat(greeting, auth, answer)) }()
		first := make([]byte, len(greeting)+len(auth))
		if _, err := io.ReadFull(w, first); err != nil || !bytes.Equal(first, slices.Concat(greeting, auth)) {
			t.Fatalf("%s: %v", c.what, err)
		}
		come := make(chan time.Time, 1)
		asked := time.Now()
		go func() {
			_, _ = io.ReadFull(w, make([]byte, len(answer)))
			come <- time.Now()
		}()
		if c.waits {
			time.Sleep(50 * time.Millisecond) // the answer has come by then
			asked = time.Now()
			if _, err := w.Write(ask); err != nil {
				t.Fatal(err)
			}
		}
		at := <-come
		if at.Before(asked) {
			t.Errorf("%s: the answer came %v too early", c.what, asked.Sub(at))
		}
		if d := at.Sub(asked); d > 500*time.Millisecond {
			t.Errorf("%s: the answer came %v late", c.what, d)
		}
		_, _ = near.Close(), far.Close()
	}
}

func TestInvalidPacketEndsTheConnection(t *testing.T) {
	for _, size := range []uint32{0, 4, 15, maxHandshake + 1, maxPacket + 1, 1 << 31} {
		near, far := net.Pipe()
		var failure error
		w := newWire(near, near, time.Now().Add(time.Minute), time.Minute, func(err error) { failure = err }, new(inheritance))
		go func() {
			_, _ = far.Write(append(binary.BigEndian.AppendUint32(nil, size), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))
		}()
		if _, err := w.Read(make([]byte, 10)); err == nil || failure == nil {
			t.Errorf("size %d: %v, failure %v", size, err, failure)
		}
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("size %d: the connection is still open (%v)", size, err)
		}
	}
}

// Without acceptAll, Close of a client without a server would wait for a second.
// TestPacketThatContradictsItselfEndsTheConnection has lengths a little larger than
// what follows, of which the client would make room before it looks.
func TestPacketThatContradictsItselfEndsTheConnection(t *testing.T) {
	greeting := packet(int32(0), int32(10_000), int64(1), "0123456789abcdef")
	children := packet(int32(1), int64(7), int32(0), int32(2), "a", "b", int64(0))
	data := packet(int32(2), int64(7), int32(0), "data", int64(0))
	none := packet(int32(2), int64(7), int32(0), int32(-1), int64(0))
	missing := packet(int32(1), int64(7), int32(-101))
	lie := func(b []byte, at int, n byte) []byte {
		b = slices.Clone(b)
		b[at] = n
		return b
	}
	for name, c := range map[string]struct {
		packets [][]byte
		want    bool // an error
	}{
		"all is well":               {[][]byte{greeting, children, data}, false},
		"no data":                   {[][]byte{greeting, children, none}, false},
		"a node is missing":         {[][]byte{greeting, missing, data}, false},
		"the password is longer":    {[][]byte{lie(greeting, 23, 17)}, true},
		"more children":             {[][]byte{greeting, lie(children, 23, 5)}, true},
		"the data are longer":       {[][]byte{greeting, children, lie(data, 23, 13)}, true},
		"of another call, not seen": {[][]byte{greeting, lie(reply(3, "x"), 23, 90)}, false},
	} {
		near, far := net.Pipe()
		w := newWire(near, near, time.Now().Add(time.Minute), time.Minute, func(error) {}, new(inheritance))
		go func() { // ends with w
			for range 3 { // the handshake and two calls
				_, _ = far.Read(make([]byte, 100))
			}
			for _, p := range c.packets {
				_, _ = far.Write(p)
			}
			_ = far.Close()
		}()
		for _, b := range [][]byte{
			packet(int32(0), int64(0), int32(10_000), int64(0), ""),
			append(packet(int32(1), int32(opGetChildren), "/a"), 1),
			append(packet(int32(2), int32(opGetData), "/a/b"), 1),
		} {
			if _, err := w.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		_, err := io.Copy(io.Discard, struct{ io.Reader }{w})
		if (err != nil) != c.want || err != nil && !strings.Contains(err.Error(), "a list of") {
			t.Errorf("%s: error %v", name, err)
		}
		_ = w.Close()
	}
}

func TestSessionWithoutAServerEndsAtOnce(t *testing.T) {
	refused := listen(t, func(c net.Conn) { _ = c.Close() })
	hung := listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	for name, addr := range map[string]string{"closed": refused, "hung": hung, "refused": "127.0.0.1:1", "unknown": "no-such-host.invalid:1"} {
		for i := range 5 {
			c := newConfig([]string{addr}, "/a", nil)
			h, err := acquire(c, "/a", false, "")
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(i) * 20 * time.Millisecond) // at different moments
			start := time.Now()
			h.release()
			if d := time.Since(start); d > 800*time.Millisecond {
				t.Errorf("%s: it took %v", name, d)
			}
			select {
			case _, open := <-h.s.ended:
				if open {
					t.Errorf("%s: the client has not ended", name)
				}
			default:
				t.Errorf("%s: the client has not ended", name)
			}
		}
	}
}

func TestAPortThatSpeaksTheOtherWayIsNamed(t *testing.T) {
	ca, cert, key := plugintest.Certificates(t)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	secure := listen(t, func(c net.Conn) {
		_ = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}).HandshakeContext(t.Context())
		_ = c.Close()
	})
	if got := failsWith(t, secure); !strings.Contains(got, "TLS") {
		t.Errorf("plain to TLS: %s", got)
	}
	for name, serve := range map[string]func(c net.Conn){
		"does not speak TLS":  func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) },
		"a port without TLS":  func(c net.Conn) { _, _ = io.ReadFull(c, make([]byte, 4)); _ = c.Close() }, // as ZooKeeper
		"did not answer the ": func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
	} {
		if got := failsWith(t, listen(t, serve), WithTLS(discovery.TLS{CA: ca})); !strings.Contains(got, name) {
			t.Errorf("TLS to plain: %s, want %q", got, name)
		}
	}
}
