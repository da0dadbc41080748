package dns_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// timeout bounds what a test waits for.
const timeout = 30 * time.Second

// process is a server of the test's own, on a port of 127.0.0.1.
type process struct {
	t    testing.TB
	addr string
	dir  string
	args []string
	cmd  *exec.Cmd
	log  bytes.Buffer
}

// program returns the path of a program: that of the environment variable, or else
// the one in $PATH. The test is skipped if there is none.
func program(tb testing.TB, variable, name string) string {
	tb.Helper()
	if path := os.Getenv(variable); path != "" {
		name = path
	}
	path, err := exec.LookPath(name)
	if err != nil {
		tb.Skipf("a program %s is neither in $%s nor in $PATH: %v", name, variable, err)
	}
	return path
}

func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command(p.args[0], p.args[1:]...)
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Dir = &p.log, &p.log, p.dir
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		p.cmd = nil
	}
	if p.t.Failed() {
		p.t.Logf("the end of the log of %s: %s", filepath.Base(p.args[0]), p.log.Bytes()[max(0, p.log.Len()-2000):])
	}
}

// eventually waits for what sends no event.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for start := time.Now(); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > timeout {
			tb.Fatalf("waited %v for %s", timeout, what)
		}
	}
}

// freePort returns a port that nobody listens at, over TCP and UDP.
func freePort(tb testing.TB) string {
	tb.Helper()
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatal(err)
		}
		defer l.Close()
		u, err := net.ListenPacket("udp", l.Addr().String())
		if err != nil {
			continue
		}
		defer u.Close()
		return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	}
	tb.Fatal("no port is free over TCP and UDP")
	return ""
}

// bind is BIND's server, with the zone "test." that a test changes by dynamic
// updates (RFC 2136).
type bind struct {
	*process

	zones string // further ones

	mu   sync.Mutex
	conn net.Conn // for updates
}

const zoneHead = `$TTL 0
@ IN SOA ns hostmaster 1 3600 600 86400 0
@ IN NS ns
ns IN A 127.0.0.1
`

// startBind starts a server whose zone also has the records.
func startBind(tb testing.TB, records string) *bind {
	tb.Helper()
	path := program(tb, "NAMED_BINARY", "named")
	port, dir := freePort(tb), tb.TempDir()
	b := &bind{process: &process{
		t: tb, addr: "127.0.0.1:" + port, dir: dir,
		args: []string{path, "-g", "-4", "-n", "2", "-p", port, "-c", filepath.Join(dir, "named.conf")},
	}}
	b.configure("any")
	b.file("test.zone", zoneHead+records)
	tb.Cleanup(func() {
		if b.conn != nil {
			_ = b.conn.Close()
		}
		b.kill()
	})
	b.start()
	eventually(tb, "BIND", func() bool { return b.answers(dnsmessage.RCodeSuccess) })
	return b
}

func (b *bind) file(name, content string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(content), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// configure writes the configuration. who may ask is "any" or "none", which the
// address that updates come from is not among.
func (b *bind) configure(who string) {
	b.file("named.conf", fmt.Sprintf(`
		options { directory %q; listen-on { 127.0.0.1; }; listen-on-v6 { none; }; recursion no; dnssec-validation no;
			pid-file none; session-keyfile none; max-records-per-type 0; notify no; allow-query { 127.0.0.2; %s; }; };
		controls { };
		zone "test" { type primary; file "test.zone"; allow-update { any; }; check-names ignore; };
		%s`, b.dir, who, b.zones))
}

// reload makes the server read its configuration again.
func (b *bind) reload(who string, code dnsmessage.RCode) error {
	b.configure(who)
	if err := b.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	eventually(b.t, "the new configuration", func() bool { return b.answers(code) })
	return nil
}

// answers reports whether the server answers with the code.
func (b *bind) answers(code dnsmessage.RCode) bool {
	conn, err := net.Dial("tcp", b.addr)
	if err != nil {
		return false
	}
	defer conn.Close()
	h, err := roundTrip(conn, dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 1},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("test."), Type: dnsmessage.TypeSOA, Class: dnsmessage.ClassINET}},
	})
	return err == nil && h.RCode == code
}

// update makes one change, of which a client sees all or nothing.
func (b *bind) update(ctx context.Context, changes ...dnsmessage.Resource) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var err error
	for range 2 { // the server closes connections
		if b.conn == nil {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
			if b.conn, err = d.DialContext(ctx, "tcp", b.addr); err != nil {
				return err
			}
		}
		var h dnsmessage.Header
		h, err = roundTrip(b.conn, dnsmessage.Message{
			Header:      dnsmessage.Header{ID: 1, OpCode: 5},
			Questions:   []dnsmessage.Question{{Name: dnsmessage.MustNewName("test."), Type: dnsmessage.TypeSOA, Class: dnsmessage.ClassINET}},
			Authorities: changes,
		})
		if err == nil {
			if h.RCode != dnsmessage.RCodeSuccess {
				err = fmt.Errorf("the update failed: %v", h.RCode)
			}
			return err
		}
		_ = b.conn.Close()
		b.conn = nil
	}
	return err
}

func roundTrip(conn net.Conn, m dnsmessage.Message) (h dnsmessage.Header, err error) {
	msg, err := m.AppendPack(make([]byte, 2))
	if err != nil {
		return h, err
	}
	if len(msg)-2 > 1<<16-1 {
		return h, errors.New("too many changes for one message")
	}
	msg[0], msg[1] = byte((len(msg)-2)>>8), byte(len(msg)-2)
	_ = conn.SetDeadline(time.Now().Add(timeout))
	if _, err := conn.Write(msg); err != nil {
		return h, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return h, err
	}
	answer := make([]byte, int(size[0])<<8|int(size[1]))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return h, err
	}
	var p dnsmessage.Parser
	return p.Start(answer)
}

func head(name string, kind dnsmessage.Type, class dnsmessage.Class) dnsmessage.ResourceHeader {
	return dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Type: kind, Class: class}
}

// without removes all records of a name and a type.
func without(name string, kind dnsmessage.Type) dnsmessage.Resource {
	return dnsmessage.Resource{Header: head(name, kind, dnsmessage.ClassANY), Body: &dnsmessage.UnknownResource{Type: kind}}
}

func srv(name string, class dnsmessage.Class, priority, weight, port uint16, target string) dnsmessage.Resource {
	return dnsmessage.Resource{Header: head(name, dnsmessage.TypeSRV, class), Body: &dnsmessage.SRVResource{
		Priority: priority, Weight: weight, Port: port, Target: dnsmessage.MustNewName(target),
	}}
}

// host is an A or AAAA record.
func host(name string, ip net.IP) dnsmessage.Resource {
	if v4 := ip.To4(); v4 != nil {
		return dnsmessage.Resource{Header: head(name, dnsmessage.TypeA, dnsmessage.ClassINET), Body: &dnsmessage.AResource{A: [4]byte(v4)}}
	}
	return dnsmessage.Resource{Header: head(name, dnsmessage.TypeAAAA, dnsmessage.ClassINET), Body: &dnsmessage.AAAAResource{AAAA: [16]byte(ip)}}
}
