package protocoltest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// mistakes are those of broken clients.
type mistakes struct {
	noDeadline bool      // does not end a call in time
	noLimit    bool      // reads a line of any length
	noCheck    bool      // keeps a connection with bytes that nobody has asked for
	acceptsCut bool      // takes what came before the end for the answer
	firstOnly  bool      // knows no server but the first
	keepsConns *sync.Map // does not close the connections, which are here
	leaves     bool      // leaves a goroutine
}

// lineClient is a client of lines, which keeps one idle connection for each server.
type lineClient struct {
	mistakes
	addrs []string

	mu   sync.Mutex
	turn int
	idle map[string]*lineConn
}

type lineConn struct {
	net.Conn
	r *bufio.Reader
}

func (m mistakes) fixture() Fixture {
	return Fixture{
		Client: func(addrs ...string) (*Client, error) {
			if m.leaves {
				go func() { select {} }() // for ever: it is the mistake
			}
			c := &lineClient{mistakes: m, addrs: addrs, idle: make(map[string]*lineConn)}
			return &Client{Call: c.call, Close: c.close}, nil
		},
		Read: func(r *bufio.Reader) (Request, error) {
			line, err := r.ReadString('\n')
			return Request{strings.TrimSpace(line), []byte(line)}, err
		},
		Floods: []Flood{{"a line", func(Request) []byte { return nil }, []byte("x")}},
	}
}

func (c *lineClient) call(ctx context.Context, text string) (string, error) {
	var all error
	for range c.addrs {
		got, err := c.ask(ctx, c.next(), text)
		if err == nil {
			return got, nil
		}
		all = errors.Join(all, err)
	}
	return "", all
}

// next returns the server whose turn it is.
func (c *lineClient) next() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.firstOnly {
		c.turn++
	}
	return c.addrs[c.turn%len(c.addrs)]
}

// swap replaces the idle connection to a server.
func (c *lineClient) swap(addr string, conn *lineConn) *lineConn {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.idle[addr]
	c.idle[addr] = conn
	return old
}

func (c *lineClient) ask(ctx context.Context, addr, text string) (string, error) {
	conn := c.swap(addr, nil)
	if conn == nil {
		nc, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return "", err
		}
		conn = &lineConn{nc, bufio.NewReader(nc)}
	}
	if d, ok := ctx.Deadline(); ok && !c.noDeadline { // which is for all servers
		_ = conn.SetDeadline(time.Now().Add(time.Until(d) / 4))
	}
	got, err := c.exchange(conn, text)
	if err == nil && (conn.r.Buffered() == 0 || c.noCheck) {
		conn = c.swap(addr, conn)
	}
	if conn != nil {
		c.drop(conn)
	}
	return strings.TrimSpace(got), err
}

func (c *lineClient) exchange(conn *lineConn, text string) (string, error) {
	if _, err := io.WriteString(conn, text+"\n"); err != nil {
		return "", err
	}
	if c.noLimit {
		got, err := conn.r.ReadString('\n')
		if c.acceptsCut && got != "" {
			err = nil
		}
		return got, err
	}
	got, err := conn.r.ReadSlice('\n')
	if c.acceptsCut && len(got) > 0 {
		err = nil
	}
	return string(got), err
}

func (c *lineClient) close(context.Context) error {
	for _, addr := range c.addrs {
		if conn := c.swap(addr, nil); conn != nil {
			c.drop(conn)
		}
	}
	return nil
}

func (c *lineClient) drop(conn *lineConn) {
	if c.keepsConns != nil { // else the garbage collector would close it
		c.keepsConns.Store(conn, true)
		return
	}
	_ = conn.Close()
}

func TestAClientThatWorksIsNotCaught(t *testing.T) {
	Run(t, func(*testing.T) Fixture { return mistakes{}.fixture() })
}

func TestEachBrokenClientIsCaught(t *testing.T) {
	canFail := make(map[string]bool)
	for _, c := range []struct {
		client mistakes
		rules  []string
		want   string
	}{
		{mistakes{noDeadline: true}, []string{"SaysNothing", "Dribbles"}, "has not ended"},
		{mistakes{noLimit: true}, []string{"EndlessAnswer"}, "MaxMemory"},
		{mistakes{noCheck: true}, []string{"MoreThanAsked"}, "got the answer"},
		{mistakes{noCheck: true}, []string{"AnotherAnswer"}, "got the answer"},
		{mistakes{acceptsCut: true}, []string{"CutAnswer"}, "got the answer"},
		{mistakes{firstOnly: true}, []string{"HangsUp", "Garbage"}, "beside a good server"},
		{mistakes{keepsConns: new(sync.Map)}, []string{"SaysNothing"}, "connections are left"},
		{mistakes{leaves: true}, []string{"HangsUp"}, "goroutines are left"},
	} {
		for _, name := range c.rules {
			canFail[name] = true
			wantCaught(t, name, c.client.fixture(), c.want)
		}
	}
	for _, rule := range rules() {
		if !canFail[rule.name] {
			t.Errorf("no broken client shows that rule %s can fail", rule.name)
		}
	}
}

func wantCaught(t *testing.T, name string, f Fixture, want string) {
	t.Helper()
	i := slices.IndexFunc(rules(), func(r rule) bool { return r.name == name })
	f.Timeout, f.Numbered, f.MaxMemory, f.CallTimeout = time.Second, true, 4<<20, time.Second/2
	err := rules()[i].run(t.Context(), f, t.Logf)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: error %v, want %q", name, err, want)
	}
}

func TestASkipNamesTheMissingField(t *testing.T) {
	whole := mistakes{}.fixture()
	whole.setDefaults()
	for field, f := range map[string]Fixture{
		"Read":     {Client: whole.Client, Server: whole.Server},
		"Numbered": whole,
		"Floods":   {Client: whole.Client, Read: whole.Read},
	} {
		named := false
		for _, rule := range rules() {
			if rule.name == "CutAnswer" || rule.name == "AnotherAnswer" || rule.name == "EndlessAnswer" {
				err := rule.run(t.Context(), f, t.Logf)
				named = named || errors.Is(err, errors.ErrUnsupported) && strings.Contains(err.Error(), "Fixture."+field+" ")
			}
		}
		if !named {
			t.Errorf("no skip names %s", field)
		}
	}
	for _, f := range []Fixture{{Read: whole.Read}, {Client: whole.Client}} {
		if err := rules()[0].run(t.Context(), f, t.Logf); err == nil || errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("without a required field: error %v", err)
		}
	}
}
