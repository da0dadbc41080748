package combine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

type memory struct {
	w      core.Watcher
	file   string
	after  time.Duration
	failed func(error)
	// heard is whether w has reported: the memory is not needed any more.
	heard atomic.Bool
}

// Remember watches w and keeps its last set in a file, so that a program can
// begin while the registry is down: what the file has is reported when w is
// lost before its first report, or has not made it for the time after (zero is
// at once). Once w has reported, nothing but w counts.
//
// The file is JSON, an array of [core.Endpoint], and replaced in one step. An
// empty set is not remembered: a registry that was wiped is what a memory is
// for. A file that does not exist is no memory. Trouble with it stops nobody;
// failed, if it is not nil, is told. Two programs must not share a file.
func Remember(w core.Watcher, file string, after time.Duration, failed func(error)) core.Watcher {
	if failed == nil {
		failed = func(error) {}
	}
	return &memory{w: w, file: file, after: after, failed: failed}
}

func (m *memory) Validate() error {
	var errs []error
	if m.file == "" {
		errs = append(errs, errors.New("combine: no file to remember in"))
	}
	if m.after < 0 {
		errs = append(errs, fmt.Errorf("combine: memory after %v: must not be negative", m.after))
	}
	return errors.Join(append(errs, validate(m.w))...)
}

func (m *memory) Watch(ctx context.Context, report func([]core.Endpoint)) error {
	if err := m.Validate(); err != nil {
		return err
	}
	g := newGroup()
	defer g.running.Wait()
	inner, cancel := context.WithCancel(ctx)
	defer cancel()

	tell := changes(func(set []core.Endpoint) {
		report(slices.Clone(set)) // which is the receiver's
		if m.heard.Load() {
			m.write(set)
		}
	})
	f := g.follow(inner, m.w)
	patience := time.NewTimer(m.after)
	defer patience.Stop()
	for {
		late := false
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-g.news:
		case <-patience.C:
			late = true
		}
		s := f.status()
		if s.known {
			m.heard.Store(true)
			tell(s.set)
		} else if (late || s.err != nil) && !m.heard.Load() {
			if set := m.read(); len(set) > 0 {
				tell(set)
			}
		}
		if s.err != nil {
			return s.err
		}
	}
}

func (m *memory) read() []core.Endpoint {
	data, err := os.ReadFile(m.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var set []core.Endpoint
	if err == nil {
		err = json.Unmarshal(data, &set)
	}
	if err != nil {
		m.failed(fmt.Errorf("combine: remembering the last set: %w", err))
		return nil
	}
	return set
}

func (m *memory) write(set []core.Endpoint) {
	if len(set) == 0 {
		return
	}
	if err := m.replace(set); err != nil {
		m.failed(fmt.Errorf("combine: keeping the last set: %w", err))
	}
}

// replace writes another file and renames it, so that a crash leaves the old
// set or the new one.
func (m *memory) replace(set []core.Endpoint) error {
	data, err := json.MarshalIndent(set, "", "\t")
	if err != nil {
		return err
	}
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
