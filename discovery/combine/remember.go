package combine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/trusted"
)

type memory struct {
	origin
	w      discovery.Watcher
	file   string
	after  time.Duration
	failed func(error)
	// heard: w has reported, and the file is not read any more.
	heard atomic.Bool
	// written is the hash of what was written last, zero for nothing. A set that is
	// repeated is not written again.
	written atomic.Uint64
	seed    maphash.Seed
}

// Remember watches w and keeps its last set in a file, so that a program can start
// while the registry is down. If w is lost before its first report, or has not
// reported after the time after (zero means at once), Watch reports the set in
// the file. Once w has reported, only w counts.
//
// The file is a JSON array of [discovery.Endpoint], which package file reads too,
// and is replaced in one step.
// Remember does not write an empty set: a registry that was wiped is a case it is
// for. The file need not exist. It is read only if it is a regular file of at most
// 16 MiB which, where there are such things, belongs to this user or root and
// which nobody else may write. Errors of the file do not stop the watch; failed
// is called with them, if it is not nil. Two programs must not share a file.
func Remember(w discovery.Watcher, file string, after time.Duration, failed func(error)) discovery.Watcher {
	if failed == nil {
		failed = func(error) {}
	}
	return &memory{w: w, file: file, after: after, failed: failed, seed: maphash.MakeSeed()}
}

// String names the place of w.
func (m *memory) String() string { return places("", m.w) }

func (m *memory) Validate() error {
	var errs []error
	if m.file == "" {
		errs = append(errs, errors.New("combine: no file is named to remember the set in"))
	}
	if m.after < 0 {
		errs = append(errs, fmt.Errorf("combine: Remember after %v: must not be negative", m.after))
	}
	return errors.Join(append(errs, validate(m.w))...)
}

func (m *memory) Watch(ctx context.Context, report func([]discovery.Endpoint)) error {
	if err := m.Validate(); err != nil {
		return err
	}
	g := newGroup()
	defer g.running.Wait()
	inner, cancel := context.WithCancel(ctx)
	defer cancel()

	f := g.follow(inner, m.w)
	late := time.NewTimer(m.after)
	defer late.Stop()
	read := false
	for {
		due := false
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-g.news:
		case <-late.C:
			due = true
		}
		s := f.status()
		if s.fresh {
			m.heard.Store(true)
			m.report(report, slices.Clone(s.set), s.own) // the receiver may modify it
			m.write(s.set)
		} else if (due || s.err != nil) && !s.known && !read && !m.heard.Load() {
			read = true
			if set := m.read(); len(set) > 0 {
				m.report(report, set, false)
			}
		}
		if s.err != nil {
			return s.err
		}
	}
}

func (m *memory) read() []discovery.Endpoint {
	set, err := readSet(m.file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.failed(fmt.Errorf("combine: reading the remembered set: %w", err))
	}
	return set
}

// readSet returns the endpoints in a file that are valid. The error may be about
// others.
func readSet(file string) (set []discovery.Endpoint, err error) {
	data, _, err := trusted.Read(file)
	if err != nil {
		return nil, err
	}
	return decode(data)
}

// decode returns the endpoints in the content of a file that are valid. The error
// may be about others.
func decode(data []byte) (set []discovery.Endpoint, err error) {
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, err
	}
	var wrong error // the last one
	set = slices.DeleteFunc(set, func(e discovery.Endpoint) bool {
		err := e.Validate()
		if err != nil {
			wrong = err
		}
		return err != nil
	})
	return set, wrong
}

func (m *memory) write(set []discovery.Endpoint) {
	if len(set) == 0 {
		return
	}
	data, err := encode(set)
	hash := maphash.Bytes(m.seed, data)
	if err == nil && m.written.Load() != hash {
		err = m.replace(data)
	}
	if err != nil {
		m.failed(fmt.Errorf("combine: writing the remembered set: %w", err))
		return
	}
	m.written.Store(hash)
}

// encode returns what the file has for a set, unless that is too large. It looks
// before it writes: the set may be one that a registry was flooded with.
func encode(set []discovery.Endpoint) ([]byte, error) {
	size := 0
	for _, e := range set {
		size += len(e.Addr) + len(e.Zone)
		for k, v := range e.Attrs {
			size += len(k) + len(v)
		}
	}
	var data []byte
	if size <= trusted.MaxSize {
		var err error
		if data, err = json.MarshalIndent(set, "", "\t"); err != nil {
			return nil, err
		}
		size = len(data)
	}
	if size > trusted.MaxSize {
		return nil, fmt.Errorf("it has %d bytes, more than %d", size, trusted.MaxSize)
	}
	return data, nil
}

// replace writes another file and renames it, so that a crash leaves the old
// set or the new one.
func (m *memory) replace(data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(m.file), filepath.Base(m.file)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), m.file)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
