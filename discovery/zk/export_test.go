package zk

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"reflect"
	"strings"
	"sync"
	"time"
	"unsafe"
)

// Session gives tests outside the package access to a session.
type Session struct{ s *session }

// Sessions returns the sessions that have server in their list.
func Sessions(server string) []Session {
	sessions.mu.Lock()
	defer sessions.mu.Unlock()
	var all []Session
	for k, s := range sessions.all {
		if strings.Contains(k.servers, server) {
			all = append(all, Session{s})
		}
	}
	return all
}

// ID returns the ID of the session, zero before the first connection.
func (s Session) ID() int64 { return s.s.conn.SessionID() }

// Users counts the watches and registrations.
func (s Session) Users() int {
	s.s.mu.Lock()
	defer s.s.mu.Unlock()
	return s.s.count
}

// Watches counts what the client watches below path.
func (s Session) Watches(path string) int {
	conn := reflect.ValueOf(s.s.conn).Elem()
	mu := (*sync.Mutex)(unsafe.Pointer(conn.FieldByName("watchersLock").UnsafeAddr()))
	mu.Lock()
	defer mu.Unlock()
	n := 0
	for _, k := range conn.FieldByName("watchers").MapKeys() {
		if strings.HasPrefix(k.FieldByName("path").String(), path) {
			n++
		}
	}
	return n
}

// Ahead lets the session have seen later changes than the ensemble has, as after
// a restore of the ensemble from a backup. It waits for the loss of the
// connection.
func (s Session) Ahead() {
	for st := s.s.status(); st.connected; st = s.s.status() {
		<-st.changed
	}
	s.s.mu.Lock()
	defer s.s.mu.Unlock()
	zxid := reflect.ValueOf(s.s.conn).Elem().FieldByName("lastZxid").Addr().UnsafePointer()
	*(*int64)(zxid) = 1 << 60
}

// ErrDown is returned by Expire when there is no connection.
var ErrDown = errors.New("there is no connection")

// Expire ends the session at the ensemble, as the ensemble does after the session
// timeout: it resumes the session with its password, at server, and closes it.
// Without a connection it returns ErrDown, unless down is true; then no new
// connection may be about to be made.
func (s Session) Expire(server string, down bool) error {
	s.s.mu.Lock()
	if !s.s.connected && !down {
		s.s.mu.Unlock()
		return ErrDown
	}
	password := string(reflect.ValueOf(s.s.conn).Elem().FieldByName("passwd").Bytes())
	s.s.mu.Unlock()
	id := s.ID()
	for {
		err := expire(server, id, password)
		if !errors.Is(err, io.EOF) {
			return err
		}
		// The client was sooner to resume the session, so the server has dropped
		// this connection.
	}
}

// expire resumes a session and closes it. It succeeds if that has expired.
func expire(server string, id int64, password string) error {
	c, err := net.DialTimeout("tcp", server, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	// Both at once, before the client is back.
	resume, end := packet(int32(0), int64(0), int32(10_000), id, password), packet(int32(1), int32(opClose))
	if _, err := c.Write(append(resume, end...)); err != nil {
		return err
	}
	for range 2 {
		var size [4]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return err
		}
		answer := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(c, answer); err != nil {
			return err
		}
		if len(answer) > 20 && binary.BigEndian.Uint64(answer[8:]) == 0 {
			return nil // it has expired
		}
	}
	return nil
}
