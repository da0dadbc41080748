package zk

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	client "github.com/go-zookeeper/zk"
)

// The data of many nodes is read with MultiRead, which ZooKeeper has since 3.6 and the
// client lacks. It sets no watches: SetWatches does, which a client sends to have its
// watches again on a new connection. It names a transaction, and where a node has
// changed since, the event comes at once. So both are sent behind each other, with a
// transaction that was seen before: what changes after it is in the data, or an event
// follows.
//
// The client knows nothing of these watches, so `wire` sets them again on the next
// connection of the session.

const (
	opMultiRead = 22

	// maxMany is how many nodes are read with one request at most: with data of a
	// mebibyte each, which is ZooKeeper's own bound, the answer is half of maxPacket.
	maxMany = 32

	codeNoNode        = -101
	codeUnimplemented = -6
)

// fitting returns how many of the names, which are below the path, fit in one request:
// one at least.
func fitting(path string, names []string) int {
	const each = 14 // beside the path
	n, size := 0, 0
	for _, name := range names[:min(len(names), maxMany)] {
		if size += each + len(path) + 1 + len(name); size > maxSetWatches && n > 0 {
			break
		}
		n++
	}
	return n
}

// errAlone means that a node must be read alone: the server does not read many at once,
// or not this one.
var errAlone = errors.New("it was not read with others")

// readMany reads the data of the children and sets a watch on each, with two requests.
// If they cannot be read so, there is an error at one of them at least, or ctx is done.
func (v *view) readMany(ctx context.Context, conn *client.Conn, names []string) []child {
	failed := func(err error) []child { return []child{{name: names[0], err: err}} }
	w := v.s.connection()
	if w == nil {
		return failed(errConnectionLost)
	}
	select {
	case <-w.spoken:
	default: // the client may have to authenticate itself
		if _, _, err := conn.Exists(v.path); err != nil {
			return failed(err)
		}
	}
	defer v.settingWatches(names)()
	paths := make([]string, len(names))
	for i, name := range names {
		paths[i] = v.path + "/" + name
	}
	answer := w.readMany(paths)
	select {
	case b := <-answer:
		return decodeMany(b, names)
	case <-w.closed: // perhaps because of what was asked for, or its size
		return failed(fmt.Errorf("%w: %w", errConnectionLost, errAlone))
	case <-ctx.Done():
		return nil
	}
}

// readMany sends the requests, and returns where the answer comes, from its error code
// on, when the watches are set. It does not come if the connection ends before.
func (w *wire) readMany(paths []string) <-chan []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	var data []byte
	number := w.requestLocked(func(reply []byte) ([]byte, error) {
		if code(reply) == codeUnimplemented { // by a server before 3.6, which then closes the connection
			w.session.oneByOne.Store(true)
		}
		data = reply
		return nil, nil
	})
	fields := []any{number, int32(opMultiRead)}
	for _, path := range paths {
		fields = append(fields, int32(opGetData), false, int32(-1), path, false)
	}
	b := packet(append(fields, int32(-1), true, int32(-1))...)
	answer := make(chan []byte, 1)
	w.sendLocked(append(b, w.setWatchesLocked(paths, w.session.seen.Load(), func() { answer <- data })...))
	return answer
}

// watchAgain sets the watches on the data of nodes that the session had before the
// connection. It ends with a Write, or with the connection: the next one begins where
// this one did.
func (w *wire) watchAgain(paths []string) {
	if len(paths) == 0 {
		w.settled.Store(true)
		return
	}
	select {
	case <-w.spoken: // before, an event of what not everybody may read would be dropped
	case <-w.closed:
		return
	}
	for len(paths) > 0 {
		n := fitting("", paths)
		some, last := paths[:n], n == len(paths)
		paths = paths[n:]
		w.mu.Lock()
		w.sendLocked(w.setWatchesLocked(some, w.since, func() {
			if last { // answers come in the order of the requests
				w.settled.Store(true)
			}
		}))
		w.mu.Unlock()
	}
}

// setWatchesLocked returns the request that sets watches on the data of nodes, for what
// changes after a transaction. The reader calls done when they are set.
func (w *wire) setWatchesLocked(paths []string, since int64, done func()) []byte {
	number := w.requestLocked(watchesAreSet(done))
	fields := []any{number, int32(opSetWatches), since, int32(len(paths))}
	for _, path := range paths {
		fields = append(fields, path)
	}
	return packet(append(fields, int32(0), int32(0))...)
}

// watchesAreSet is the reaction to the reply to SetWatches. After an error the connection
// ends, and they are set again on the next one.
func watchesAreSet(done func()) reaction {
	return func(reply []byte) ([]byte, error) {
		if c := code(reply); c != 0 {
			return nil, fmt.Errorf("it sets no watches: error %d", c)
		}
		done()
		return nil, nil
	}
}

// code returns the error code of a reply.
func code(reply []byte) int32 {
	if len(reply) < 4 {
		return 0 // as the client has it
	}
	return int32(binary.BigEndian.Uint32(reply))
}

// decodeMany returns what the answer to a MultiRead has, from its error code on. Its
// results are in the order of the names.
func decodeMany(b []byte, names []string) (all []child) {
	const (
		header = 9  // operation, end, error
		stat   = 68 // bytes
	)
	malformed := []child{{name: names[0], err: errAlone}}
	if len(b) < 4 || code(b) != 0 {
		return malformed
	}
	b = b[4:]
	for _, name := range names {
		if len(b) < header+4 || b[4] != 0 {
			return malformed
		}
		op, n := binary.BigEndian.Uint32(b), int(int32(binary.BigEndian.Uint32(b[header:])))
		b = b[header+4:]
		switch {
		case op == opGetData:
			n = max(n, 0) // -1: no data
			if n > len(b)-stat {
				return malformed
			}
			all = append(all, child{name: name, data: b[:n:n]})
			b = b[n+stat:]
		case n == codeNoNode:
			all = append(all, child{name: name, err: client.ErrNoNode})
		default: // such as that it may not be read
			all = append(all, child{name: name, err: errAlone})
		}
	}
	return all
}
