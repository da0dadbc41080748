package main

import (
	"errors"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/minicaptain/multi_connection_pool/bench/internal/servers"
)

// handler answers with its address, after delay nanoseconds, or never if that is negative.
type handler struct {
	addr  string
	delay atomic.Int64
}

func (h *handler) answer() string {
	switch d := time.Duration(h.delay.Load()); {
	case d < 0:
		select {}
	default:
		time.Sleep(d)
	}
	return h.addr
}

// listeners returns the servers of all protocols by name. Their command is a delay.
func listeners() map[string]servers.Listen {
	all := map[string]servers.Listen{}
	for _, p := range protocols() {
		all[p.name] = func(addr string) (servers.Server, error) {
			var h handler
			at, serve, err := p.listen(addr, &h)
			if err != nil {
				return servers.Server{}, err
			}
			h.addr = at.String()
			return servers.Server{Addr: at, Serve: serve, Do: func(command string) error {
				d, err := time.ParseDuration(command)
				h.delay.Store(int64(d))
				return err
			}}, nil
		}
	}
	return all
}

// delay makes a server answer that much later from now on, or never if d is negative.
func delay(s *servers.Process, d time.Duration) error { return s.Do(d.String()) }

// freeze stops a server and returns when all its threads have stopped, which takes a moment.
func freeze(s *servers.Process) error {
	if err := s.Cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for {
		if _, err := syscall.Wait4(s.Cmd.Process.Pid, nil, syscall.WUNTRACED, nil); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// restart starts a server in the place of one that has ended.
func restart(all servers.Group, i int) error {
	s, err := servers.Start(all[i].Name, all[i].Addr)
	if err == nil {
		all[i] = s
	}
	return err
}
