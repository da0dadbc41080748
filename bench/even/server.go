package main

import (
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/bench/internal/servers"
)

// listeners returns the processes of the run by name: servers, whose command is a delay, and those that want the
// processors.
func listeners() map[string]servers.Listen {
	return map[string]servers.Listen{
		"echo": listen,
		steady: func(string) (servers.Server, error) { return busy(func() { spin(time.Second) }), nil },
		bursts: func(string) (servers.Server, error) { return busy(burst), nil },
	}
}

// listen opens a server that answers each byte with one.
func listen(addr string) (servers.Server, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return servers.Server{}, err
	}
	var delay atomic.Int64
	return servers.Server{Addr: l.Addr(), Serve: func() error {
		for {
			nc, err := l.Accept()
			if err != nil {
				return err
			}
			go answer(nc, &delay)
		}
	}, Do: func(command string) error {
		d, err := time.ParseDuration(command)
		delay.Store(int64(d))
		return err
	}}, nil
}

func answer(nc net.Conn, delay *atomic.Int64) {
	defer nc.Close()
	b := make([]byte, 1)
	for {
		if _, err := io.ReadFull(nc, b); err != nil {
			return
		}
		if d := time.Duration(delay.Load()); d > 0 {
			time.Sleep(d)
		}
		if _, err := nc.Write(b); err != nil {
			return
		}
	}
}

// busy is a process that does something for ever.
func busy(do func()) servers.Server {
	return servers.Server{Addr: &net.TCPAddr{}, Serve: func() error {
		for {
			do()
		}
	}}
}

func spin(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
	}
}

// burst is what a compiler or a garbage collector does.
func burst() {
	spin(rand.N(200 * time.Millisecond))
	time.Sleep(rand.N(200 * time.Millisecond))
}
