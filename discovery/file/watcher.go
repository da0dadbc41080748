package file

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/option"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/trusted"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/wait"
)

const (
	// settle is how long a file must be left alone before it is read.
	settle = 100 * time.Millisecond
	// restless is how long a look waits for that.
	restless = 5 * time.Second
	// coarse is an age above which the time of a file's last change shows the next
	// one, on every file system (FAT has steps of two seconds).
	coarse = 2 * time.Second
)

// config has what the arguments, options and parameters of one watcher say.
type config struct {
	path     string
	interval time.Duration

	params *discovery.Params // declare the fields above
	err    error             // mistakes in the arguments or the URL
}

// Option sets one parameter of a watcher.
type Option func(*config)

// Interval sets the time from one look at the file to the next. It is from 100 ms
// to 1 h, and 1 s by default.
func Interval(d time.Duration) Option { return func(c *config) { c.interval = d } }

// declare declares the fields as parameters, which gives them their defaults.
func (c *config) declare(p *discovery.Params) {
	c.params = p
	p.Duration(&c.interval, "interval", time.Second, 100*time.Millisecond, time.Hour, "the time from one look at the file to the next")
}

// Watcher returns a watcher of the servers that a file lists.
//
// Watcher does no I/O. The watcher's Validate reports every mistake in the arguments
// and options, and not in the file. Its Watch tries again while the file cannot be
// read or is malformed, and returns the error after about 10 s, or at once if the
// file is not to be trusted. The watcher is safe for concurrent use.
func Watcher(path string, opts ...Option) discovery.Watcher {
	c := &config{path: path}
	c.declare(&discovery.Params{})
	c.err = option.Apply(c, opts)
	return &watcher{c}
}

// Opener opens URLs for a [discovery.Mux]:
//
//	file:///path?parameter=value
//
// The parameters are in the package documentation.
func Opener(p *discovery.Params) discovery.Backend {
	b := &backend{}
	b.declare(p)
	return b
}

type backend struct{ config }

// Watcher implements [discovery.Backend].
func (b *backend) Watcher(u *discovery.URL) (discovery.Watcher, error) {
	b.path = u.Path
	if len(u.Hosts) > 0 || u.User != "" || u.Password.IsSet() {
		b.err = errors.New("a file is on no host and of no user; an absolute path has three slashes, file:///path")
	}
	w := &watcher{&b.config}
	return w, w.Validate()
}

type watcher struct{ *config }

// Validate reports every mistake in the arguments and options.
func (w *watcher) Validate() error {
	errs := []error{w.err, w.params.Validate()}
	if w.path == "" {
		errs = append(errs, errors.New("no file is named"))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("file: %w", err)
	}
	return nil
}

// String returns the path.
func (w *watcher) String() string { return "file " + w.path }

// Watch implements [discovery.Watcher].
func (w *watcher) Watch(ctx context.Context, report func([]discovery.Endpoint)) error {
	if err := errors.Join(ctx.Err(), w.Validate()); err != nil {
		return err
	}
	r := reader{path: w.path, seed: maphash.MakeSeed()}
	err := discovery.Retry(ctx, func(ctx context.Context, healthy func()) error {
		for {
			set, changed, err := r.look(ctx)
			if errors.Is(err, trusted.ErrUntrusted) || errors.Is(err, fs.ErrPermission) {
				err = discovery.Permanent(err)
			}
			if err != nil {
				return err
			}
			healthy()
			if changed {
				report(slices.Clone(set))
			}
			if err := wait.For(ctx, w.interval); err != nil {
				return err
			}
		}
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("file: %w", err)
}

// reader reads a file whenever it has changed.
type reader struct {
	path string
	seed maphash.Seed
	// seen is the file whose content was good last, and nil if that may have changed
	// unseen.
	seen fs.FileInfo
	// hash is that of the content; known: there was any.
	hash  uint64
	known bool
}

// look returns the set of the file, if that has changed.
func (r *reader) look(ctx context.Context) (set []discovery.Endpoint, changed bool, err error) {
	info, err := os.Stat(r.path)
	if err != nil {
		return nil, false, err
	}
	if r.seen != nil && trusted.Same(r.seen, info) {
		return nil, false, nil
	}
	r.seen = nil
	data, info, err := r.read(ctx, info)
	if err != nil {
		return nil, false, err
	}
	hash := maphash.Bytes(r.seed, data)
	if !r.known || hash != r.hash {
		if set, err = parse(data); err != nil {
			return nil, false, fmt.Errorf("%s: %w", r.path, err)
		}
		r.hash, r.known, changed = hash, true, true
	}
	if time.Since(info.ModTime()) > coarse {
		r.seen = info
	}
	return set, changed, nil
}

// read returns the content of the file when it has been left alone for a while.
func (r *reader) read(ctx context.Context, info fs.FileInfo) ([]byte, fs.FileInfo, error) {
	for begun := time.Now(); time.Since(begun) < restless; {
		// The time of a change is the host's that has the file, and may be wrong.
		quiet := time.Since(info.ModTime()) >= settle
		if !quiet {
			if err := wait.For(ctx, settle); err != nil {
				return nil, nil, err
			}
		}
		data, now, err := trusted.Read(r.path)
		if err != nil {
			return nil, nil, err
		}
		if now != nil && trusted.Same(info, now) {
			return data, now, nil
		}
		if info, err = os.Stat(r.path); err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, fmt.Errorf("%s: it has been written to for %v without a pause", r.path, restless)
}
