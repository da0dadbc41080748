package main

import (
	"syscall"
	"time"

	"github.com/minicaptain/multi_connection_pool/bench/internal/servers"
)

// The timeline of a run: traffic, the fault, and what comes after.
const (
	calm   = 3 * time.Second
	during = 3 * time.Second
	after  = 4 * time.Second
)

// fault is what happens to the servers. begin makes it happen, to the first of them, and returns what ends it.
type fault struct {
	name  string
	all   bool // servers are its victims, not the first one alone
	begin func(all servers.Group) (end func() error, err error)
	goals []goal
}

func faults() []fault {
	return []fault{
		{"kill -9 one of three, restart", false, func(all servers.Group) (func() error, error) {
			all[0].Kill()
			return func() error { return restart(all, 0) }, nil
		}, []goal{noneFailed(), fewFailed(), tail(), back(), noBurst()}},
		{"SIGSTOP one", false, func(all servers.Group) (func() error, error) {
			err := freeze(all[0])
			return func() error { return all[0].Cmd.Process.Signal(syscall.SIGCONT) }, err
		}, []goal{noneFailed(), fewFailed(), tail(), longTail(), back(), noBurst()}},
		{"accepts, never answers", false, func(all servers.Group) (func() error, error) {
			err := delay(all[0], -1)
			return func() error { all[0].Kill(); return restart(all, 0) }, err
		}, []goal{noneFailed(), fewFailed(), tail(), longTail(), back(), noBurst()}},
		{"one 50 ms slower", false, func(all servers.Group) (func() error, error) {
			err := delay(all[0], 50*time.Millisecond)
			return func() error { return delay(all[0], 0) }, err
		}, []goal{noneFailed(), shunned(), asCalm()}},
		{"rolling restart of all", true, func(all servers.Group) (func() error, error) {
			for i := range all {
				all[i].Kill()
				time.Sleep(300 * time.Millisecond)
				if err := restart(all, i); err != nil {
					return nil, err
				}
				time.Sleep(500 * time.Millisecond)
			}
			return func() error { return nil }, nil
		}, []goal{noneFailed(), tail(), even()}},
	}
}
