package main

import (
	"syscall"
	"time"
)

// The timeline of a run: traffic, the fault, and what comes after.
const (
	calm   = 3 * time.Second
	during = 3 * time.Second
	after  = 4 * time.Second
)

// fault is what happens to the servers. It is called when it begins, with the first of them as its victim, and returns
// what ends it.
type fault struct {
	name  string
	all   bool // are its victims
	begin func(all []*server) (end func() error, err error)
	goals []goal
}

func faults() []fault {
	return []fault{
		{"kill -9 one of three, restart", false, func(all []*server) (func() error, error) {
			all[0].kill()
			return func() error { return restart(all, 0) }, nil
		}, []goal{noneFailed(), fewFailed(), tail(), back(), noBurst()}},
		{"SIGSTOP one", false, func(all []*server) (func() error, error) {
			err := all[0].freeze()
			return func() error { return all[0].cmd.Process.Signal(syscall.SIGCONT) }, err
		}, []goal{noneFailed(), fewFailed(), tail(), longTail(), back(), noBurst()}},
		{"accepts, never answers", false, func(all []*server) (func() error, error) {
			err := all[0].delays(-1)
			return func() error { all[0].kill(); return restart(all, 0) }, err
		}, []goal{noneFailed(), fewFailed(), tail(), longTail(), back(), noBurst()}},
		{"one 50 ms slower", false, func(all []*server) (func() error, error) {
			err := all[0].delays(50 * time.Millisecond)
			return func() error { return all[0].delays(0) }, err
		}, []goal{noneFailed(), shunned(), asCalm()}},
		{"rolling restart of all", true, func(all []*server) (func() error, error) {
			for i := range all {
				all[i].kill()
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

func restart(all []*server, i int) error {
	s, err := launch(all[i].speaks, all[i].addr)
	if err == nil {
		all[i] = s
	}
	return err
}
