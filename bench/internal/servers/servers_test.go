package servers

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	RunIfAsked(map[string]Listen{"test": listen})
	os.Exit(m.Run())
}

// listen answers each connection with the last command.
func listen(addr string) (Server, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return Server{}, err
	}
	says := make(chan string, 1)
	says <- "nothing"
	return Server{ln.Addr(), func() error {
		for {
			c, err := ln.Accept()
			if err != nil {
				return err
			}
			s := <-says
			says <- s
			_, _ = io.WriteString(c, s)
			_ = c.Close()
		}
	}, func(command string) error {
		if command == "fail" {
			return errors.New("asked to")
		}
		<-says
		says <- command
		return nil
	}}, nil
}

// answer is what a server answers, or "" if there is none.
func answer(addr string) string {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return ""
	}
	defer c.Close()
	s, _ := io.ReadAll(c)
	return string(s)
}

func TestServersRunExecuteCommandsAndEnd(t *testing.T) {
	g, err := StartGroup("test", 2)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Kill()
	if err := g[0].Do("hello"); err != nil {
		t.Fatal(err)
	}
	addrs := g.Addrs()
	if a, b := answer(addrs[0]), answer(addrs[1]); a != "hello" || b != "nothing" {
		t.Errorf("the servers answer %q and %q", a, b)
	}
	g[0].Kill()
	if s := answer(addrs[0]); s != "" {
		t.Errorf("a server that was killed answers %q", s)
	}
	if g[0], err = Start("test", addrs[0]); err != nil {
		t.Fatal(err)
	}
	if s := answer(addrs[0]); s != "nothing" {
		t.Errorf("the next server at that address answers %q", s)
	}
	if err := g[1].Do("fail"); err == nil {
		t.Error("a command that fails ended without an error")
	}
}

func TestServerThatCannotListenIsAnError(t *testing.T) {
	for _, c := range []struct{ name, addr string }{{"test", "256.0.0.1:0"}, {"unknown", "127.0.0.1:0"}} {
		if p, err := Start(c.name, c.addr); err == nil || !strings.Contains(err.Error(), c.name) {
			t.Errorf("%v: a server at %+v, error %v", c, p, err)
		}
	}
}
