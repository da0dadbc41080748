package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// stateLog prints what becomes of the registration of one server, a line for each change.
// It is safe for concurrent use.
type stateLog struct {
	out    io.Writer
	format format
	addr   string

	mu     sync.Mutex
	health string // the last that was printed
}

// stateLine is a line of a stateLog.
type stateLine struct {
	Time  time.Time `json:"time"`
	Event string    `json:"event"`
	Addr  string    `json:"addr"`
	Error string    `json:"error,omitempty"`
}

func (l *stateLog) note(event string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.noteLocked(event, err)
}

func (l *stateLog) noteLocked(event string, err error) {
	line := stateLine{Time: time.Now(), Event: event, Addr: l.addr}
	if err != nil {
		line.Error = oneLine(err.Error())
	}
	if l.format == asJSON {
		_ = printLine(l.out, line)
		return
	}
	text := fmt.Sprintf("multipool: %s %s %s", line.Time.Format(time.TimeOnly), line.Addr, line.Event)
	if line.Error != "" {
		text += ": " + line.Error
	}
	fmt.Fprintln(l.out, strings.TrimSpace(text))
}

// checked prints the result of a check if it differs from the one before, and returns it.
func (l *stateLog) checked(err error) error {
	health := "answers"
	if err != nil {
		health = "does not answer"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if health != l.health {
		l.health = health
		l.noteLocked(health, err)
	}
	return err
}

func (l *stateLog) registration(s discovery.State, err error) { l.note(s.String(), err) }
