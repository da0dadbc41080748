package zk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	client "github.com/go-zookeeper/zk"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

// result is one of a MultiRead: operation, end, error, and what belongs to it.
func result(op int32, code int32, rest ...any) []byte {
	return packet(append([]any{op, op == -1 && code == -1, code}, rest...)...)[4:]
}

func TestManyNodesAreDecodedInTheOrderOfTheirNames(t *testing.T) {
	names := []string{"a", "b", "c", "d"}
	good := slices.Concat(
		[]byte{0, 0, 0, 0},
		result(opGetData, 0, append([]any{"data"}, stat(3)...)...),
		packet(int32(-1), false, int32(codeNoNode), int32(codeNoNode))[4:],
		result(opGetData, 0, append([]any{int32(-1)}, stat(3)...)...),
		packet(int32(-1), false, int32(-102), int32(-102))[4:], // it may not be read
		result(-1, -1))
	got := decodeMany(good, names)
	if len(got) != 4 {
		t.Fatalf("%d results", len(got))
	}
	for i, want := range []child{{"a", []byte("data"), nil}, {"b", nil, client.ErrNoNode}, {"c", nil, nil}, {"d", nil, errAlone}} {
		if c := got[i]; c.name != want.name || !bytes.Equal(c.data, want.data) || !errors.Is(c.err, want.err) {
			t.Errorf("result %d is %+v, want %+v", i, c, want)
		}
	}
	for n := range len(good) - 9 { // the end says nothing
		if got := decodeMany(good[:n], names); len(got) != 1 || !errors.Is(got[0].err, errAlone) {
			t.Errorf("the first %d bytes are %+v", n, got)
		}
	}
	large := slices.Clone(good)
	binary.BigEndian.PutUint32(large[13:], 1<<31-1)
	if got := decodeMany(large, names); len(got) != 1 || !errors.Is(got[0].err, errAlone) {
		t.Errorf("data of two gibibytes: %+v", got)
	}
	unimplemented := binary.BigEndian.AppendUint32(nil, 1<<32-6)
	if got := decodeMany(unimplemented, names); len(got) != 1 || !errors.Is(got[0].err, errAlone) {
		t.Errorf("a server that does not know MultiRead: %+v", got)
	}
}

func FuzzMany(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0})
	f.Add(append([]byte{0, 0, 0, 0}, result(opGetData, 0, append([]any{"data"}, stat(3)...)...)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		names := []string{"a", "b"}
		got := decodeMany(b, names)
		if len(got) == 1 && errors.Is(got[0].err, errAlone) {
			return
		}
		if len(got) != len(names) || got[0].name != "a" || got[1].name != "b" || len(got[0].data)+len(got[1].data) > len(b) {
			t.Fatalf("%+v", got)
		}
	})
}

func TestRequestForManyNodesSetsTheirWatchesSinceWhatWasSeen(t *testing.T) {
	near, far := net.Pipe()
	w := newWire(near, near, time.Now().Add(time.Minute), time.Minute, func(error) {}, new(inheritance))
	defer w.Close()
	greeting := packet(int32(0), int32(10_000), int64(1), "0123456789abcdef")
	want := slices.Concat(
		packet(int32(-11), int32(opMultiRead), int32(opGetData), false, int32(-1), "/a", false,
			int32(opGetData), false, int32(-1), "/b", false, int32(-1), true, int32(-1)),
		packet(int32(-12), int32(opSetWatches), int64(7), int32(2), "/a", "/b", int32(0), int32(0)))
	sent := make([]byte, len(want))
	passed := make(chan []byte, 1)
	go func() {
		for _, b := range [][]byte{greeting, reply(1, "one")} {
			_, _ = far.Write(b)
		}
		_, _ = io.ReadFull(far, sent)
		_, _ = far.Write(packet(int32(-11), int64(8), int32(0), "many"))
		_, _ = far.Write(packet(int32(-12), int64(8), int32(0)))
		_, _ = far.Write(reply(2, "two"))
		_ = far.Close()
	}()
	first := make([]byte, len(greeting)+len(reply(1, "one")))
	if _, err := io.ReadFull(w, first); err != nil {
		t.Fatal(err)
	}
	answer := w.readMany([]string{"/a", "/b"})
	go func() {
		rest, _ := io.ReadAll(w)
		passed <- rest
	}()
	if got, want := <-answer, packet(int32(0), "many")[4:]; !bytes.Equal(got, want) {
		t.Errorf("the answer is %x, want %x", got, want)
	}
	if got := <-passed; !bytes.Equal(got, reply(2, "two")) {
		t.Errorf("the client got %x", got)
	}
	if !bytes.Equal(sent, want) {
		t.Errorf("sent was %x, want %x", sent, want)
	}
	if seen := w.session.seen.Load(); seen != 8 {
		t.Errorf("seen was transaction %d", seen)
	}
}

// A server that is behind what the session has seen would show an older set.
func TestSessionGoesOnOnlyWhereAllIsKnownThatItHasSeen(t *testing.T) {
	for _, c := range []struct {
		what                   string
		session, client, known int64
		want                   int64
	}{
		{"the client has seen less", 1, 5, 8, 8},
		{"the client has seen more", 1, 9, 8, 9},
		{"a new session", 0, 0, 8, 0},
	} {
		near, far := net.Pipe()
		memory := new(inheritance)
		memory.seen.Store(c.known)
		w := newWire(near, near, time.Now().Add(time.Minute), time.Minute, func(error) {}, memory)
		packets := func(last int64) []byte {
			return packet(int32(0), last, int32(10_000), c.session, "0123456789abcdef")
		}
		got := make([]byte, len(packets(0)))
		read := make(chan error, 1)
		go func() {
			_, err := io.ReadFull(far, got)
			read <- err
		}()
		if n, err := w.Write(packets(c.client)); n != len(got) || err != nil {
			t.Fatal(n, err)
		}
		if err := <-read; err != nil || !bytes.Equal(got, packets(c.want)) {
			t.Errorf("%s: sent was %x, %v", c.what, got, err)
		}
		_, _ = near.Close(), far.Close()
	}
}

// As servers before 3.6, and for what may not be read.
func TestNodesAreReadOneByOneWhereManyAreRefused(t *testing.T) {
	s, err := newHostileServer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.close() })
	var refusals atomic.Int32
	s.lie = func(c *hostileConn, number, op int32, path string) []byte {
		if op == opMultiRead {
			refusals.Add(1)
			_ = c.send(packet(number, s.now(), int32(codeUnimplemented)))
			return nil // which closes the connection
		}
		return s.answer(number, op, path)
	}
	var want []string
	for i := range 200 {
		addr := fmt.Sprintf("10.0.0.%d:1", i+1)
		want = append(want, addr)
		s.children[addr] = discoverytest.GRPCNaming(discovery.Endpoint{Addr: addr})
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []string
	_ = Watcher([]string{s.ln.Addr().String()}, hostilePath, WithFormat(format.GRPCNaming())).Watch(ctx, func(eps []discovery.Endpoint) {
		for _, e := range eps {
			got = append(got, e.Addr)
		}
		cancel()
	})
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("reported are %d servers, not %d: %s", len(got), len(want), strings.Join(got, " "))
	}
	if n := refusals.Load(); n == 0 || n > maxReads/maxMany {
		t.Errorf("many were asked for %d times", n)
	}
}

// resume returns a wire on which the client resumes a session, and the other end behind
// the handshake, which has the given last transaction.
func resume(t *testing.T, memory *inheritance, last int64) (w *wire, far net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	w = newWire(near, near, time.Now().Add(time.Minute), time.Minute, func(error) {}, memory)
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	write(t, w, packet(int32(0), int64(5), int32(10_000), int64(1), "0123456789abcdef"))
	expect(t, far, packet(int32(0), last, int32(10_000), int64(1), "0123456789abcdef"))
	go func() { _, _ = io.Copy(io.Discard, struct{ io.Reader }{w}) }() // ends with w
	if _, err := far.Write(packet(int32(0), int32(10_000), int64(1), "0123456789abcdef")); err != nil {
		t.Fatal(err)
	}
	return w, far
}

// write sends a packet that expect is to read.
func write(t *testing.T, w *wire, b []byte) {
	t.Helper()
	go func() { // ends with w, if not before
		if _, err := w.Write(b); err != nil && !errors.Is(err, io.ErrClosedPipe) {
			t.Error(err)
		}
	}()
}

func expect(t *testing.T, far net.Conn, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("got %x, want %x, %v", got, want, err)
	}
}

// A connection may end before the watches of the one before it are set, and after an
// answer that tells of later changes than they have.
func TestWatchesAreSetAgainSinceTheLastConnectionThatHadThem(t *testing.T) {
	memory := new(inheritance)
	memory.seen.Store(100)
	memory.since.Store(100)
	ping := packet(int32(-2), int32(opPing))
	auth := packet(int32(-4), int32(opSetAuth), int32(0), "digest", "a:b")
	again := func(number int32) []byte {
		return packet(number, int32(opSetWatches), int64(100), int32(1), "/a", int32(0), int32(0))
	}
	for i, last := range []int64{100, 110, 110} {
		w, far := resume(t, memory, last)
		go w.watchAgain([]string{"/a"})
		write(t, w, auth)
		expect(t, far, auth) // and no watch before that is answered
		if _, err := far.Write(packet(int32(-4), int64(110), int32(0))); err != nil {
			t.Fatal(err)
		}
		write(t, w, ping)
		expect(t, far, ping)
		expect(t, far, again(-11))
		switch i {
		case 0: // the connection ends
			_ = far.Close()
		case 1: // an error ends it
			if _, err := far.Write(packet(int32(-11), int64(110), int32(-127))); err != nil {
				t.Fatal(err)
			}
		default:
			for _, b := range [][]byte{packet(int32(-11), int64(111), int32(0)), packet(int32(-2), int64(112), int32(0))} {
				if _, err := far.Write(b); err != nil {
					t.Fatal(err)
				}
			}
			_ = far.Close()
		}
		select {
		case <-w.closed:
		case <-time.After(10 * time.Second):
			t.Fatal("the connection has not ended")
		}
		if i < 2 && memory.since.Load() != 100 {
			t.Errorf("since is %d", memory.since.Load())
		}
	}
	if memory.since.Load() != 112 || memory.seen.Load() != 112 {
		t.Errorf("since is %d, seen %d", memory.since.Load(), memory.seen.Load())
	}
}

// Data without a watch would never be read again.
func TestManyAreReadOnlyOnceTheirWatchesAreSet(t *testing.T) {
	memory := new(inheritance)
	w, far := resume(t, memory, 5)
	go func() { _, _ = io.Copy(io.Discard, far) }() // ends with far
	answer := w.readMany([]string{"/a", "/b"})
	if _, err := far.Write(packet(int32(-11), int64(8), int32(0), "many")); err != nil {
		t.Fatal(err)
	}
	_ = far.Close()
	<-w.closed
	select {
	case b := <-answer:
		t.Errorf("the answer is %x", b)
	default:
	}
}
