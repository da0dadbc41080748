package discoverytest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/internal/leak"
)

// echoServer answers with what it is sent, until the test ends.
func echoServer(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return l.Addr().String()
}

// proxied returns a proxy in front of an echo server. It is closed before the
// server, which waits for its connections.
func proxied(t *testing.T) *Proxy {
	t.Helper()
	p, err := NewProxy(echoServer(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func connect(t *testing.T, p *Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

func wantEcho(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(s))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != s {
		t.Fatalf("got %q, error %v, want %q", got, err, s)
	}
}

// wantSilent checks that nothing comes, for a while.
func wantSilent(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(quietTime))
	if n, err := c.Read(make([]byte, 1)); n != 0 || !isTimeout(err) {
		t.Fatalf("read %d bytes, error %v", n, err)
	}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
}

func isTimeout(err error) bool {
	var nerr net.Error
	return errors.As(err, &nerr) && nerr.Timeout()
}

func wantClosed(t *testing.T, c net.Conn) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil || isTimeout(err) {
		t.Fatalf("read %d bytes, error %v, want a closed connection", n, err)
	}
}

func TestProxyPassesOnAndCounts(t *testing.T) {
	p := proxied(t)
	a, b := connect(t, p), connect(t, p)
	wantEcho(t, a, "hello")
	wantEcho(t, b, "world!")
	if got, want := p.Traffic(), (Traffic{Connections: 2, Open: 2, ToServer: 11, FromServer: 11}); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
	big := bytes.Repeat([]byte("0123456789"), 100_000)
	go func() { _, _ = a.Write(big) }() // ends with the connection
	got := make([]byte, len(big))
	if _, err := io.ReadFull(a, got); err != nil || !bytes.Equal(got, big) {
		t.Errorf("a megabyte came back changed, or with error %v", err)
	}
}

func TestProxyClosesBothSidesWhenOneDoes(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p, err := NewProxy(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, serverFirst := range []bool{true, false} {
		client := connect(t, p)
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if serverFirst {
			client, server = server, client
		}
		_ = client.Close()
		wantClosed(t, server)
		_ = server.Close()
	}
}

func TestProxyThatIsCutRefusesUntilItIsHealed(t *testing.T) {
	p := proxied(t)
	for range 3 {
		c := connect(t, p)
		wantEcho(t, c, "before")
		p.Cut()
		wantClosed(t, c)
		if c, err := net.Dial("tcp", p.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("connection %v, error %v", c, err)
		}
		if err := p.Heal(); err != nil {
			t.Fatal(err)
		}
		wantEcho(t, connect(t, p), "after")
	}
}

func TestProxyThatBreaksConnectionsAcceptsNewOnes(t *testing.T) {
	p := proxied(t)
	c := connect(t, p)
	wantEcho(t, c, "before")
	p.Break()
	wantClosed(t, c)
	wantEcho(t, connect(t, p), "after")
}

func TestProxyThatHangsKeepsWhatWasSent(t *testing.T) {
	p := proxied(t)
	old := connect(t, p)
	wantEcho(t, old, "before")
	if err := p.Hang(); err != nil {
		t.Fatal(err)
	}
	fresh := connect(t, p)
	for _, c := range []net.Conn{old, fresh} {
		if _, err := io.WriteString(c, "meanwhile"); err != nil {
			t.Fatal(err)
		}
		wantSilent(t, c)
	}
	if got := p.Traffic(); got.ToServer != 6 || got.FromServer != 6 {
		t.Errorf("counted %+v, want 6 bytes each way", got)
	}
	if err := p.Heal(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{old, fresh} {
		got := make([]byte, 9)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "meanwhile" {
			t.Fatalf("got %q, error %v", got, err)
		}
	}
}

func TestProxyThatIsCutWhileItHangsForgetsWhatWasSent(t *testing.T) {
	p := proxied(t)
	c := connect(t, p)
	wantEcho(t, c, "before")
	if err := p.Hang(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "meanwhile"); err != nil {
		t.Fatal(err)
	}
	wantSilent(t, c)
	p.Cut()
	wantClosed(t, c)
	if err := p.Heal(); err != nil {
		t.Fatal(err)
	}
	wantEcho(t, connect(t, p), "after")
	if got := p.Traffic(); got.ToServer != 11 {
		t.Errorf("counted %+v, want 11 bytes to the server", got)
	}
	// It hangs after a cut too.
	p.Cut()
	if err := p.Hang(); err != nil {
		t.Fatal(err)
	}
	wantSilent(t, connect(t, p))
}

func TestProxyCutsAtEveryByte(t *testing.T) {
	const answer = "an answer of some bytes"
	p := proxied(t)
	for n := range len(answer) + 1 {
		c := connect(t, p)
		cut := p.CutAfter(int64(n))
		if _, err := io.WriteString(c, answer); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, n)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != answer[:n] {
			t.Fatalf("at %d: got %q, error %v", n, got, err)
		}
		if n == len(answer) { // all of it was let through
			wantSilent(t, c)
			select {
			case <-cut:
				t.Fatal("cut before the byte after the last")
			default:
			}
			if _, err := io.WriteString(c, "more"); err != nil {
				t.Fatal(err)
			}
		}
		wantClosed(t, c)
		<-cut
		wantEcho(t, connect(t, p), answer)
	}
}

func TestProxyCutsAllConnectionsTogether(t *testing.T) {
	p := proxied(t)
	a, b := connect(t, p), connect(t, p)
	wantEcho(t, b, "before")
	cut := p.CutAfter(7)
	wantEcho(t, a, "four")
	wantEcho(t, b, "3+4")
	if _, err := io.WriteString(a, "!"); err != nil {
		t.Fatal(err)
	}
	<-cut
	wantClosed(t, a)
	wantClosed(t, b)
}

func TestProxyThatIsHealedForgetsWhereToCut(t *testing.T) {
	p := proxied(t)
	p.CutAfter(1)
	if err := p.Heal(); err != nil {
		t.Fatal(err)
	}
	wantEcho(t, connect(t, p), "more than a byte")
}

func TestProxyWithoutServerClosesConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	p, err := NewProxy(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	wantClosed(t, connect(t, p))
}

func TestProxyThatIsClosedLeavesNothing(t *testing.T) {
	server := echoServer(t)
	before := leak.Goroutines()
	p, err := NewProxy(server)
	if err != nil {
		t.Fatal(err)
	}
	idle, hung := connect(t, p), connect(t, p)
	wantEcho(t, idle, "idle")
	if err := p.Hang(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(hung, "hung")
	connect(t, p)
	for range 2 {
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	wantClosed(t, idle)
	wantClosed(t, hung)
	for _, err := range []error{p.Heal(), p.Hang()} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("error %v", err)
		}
	}
	// The connections of the server end on their own.
	if !poll(t.Context(), 5*time.Second, func() bool { return len(leak.Goroutines()) <= len(before) }) {
		t.Errorf("%d goroutines before, %d left", len(before), len(leak.Goroutines()))
	}
	if got := p.Traffic().Open; got != 0 {
		t.Errorf("%d connections are open", got)
	}
}
