// Package trusted reads files that say where servers are, and which a program
// therefore believes only if nobody else can have written them.
package trusted

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// MaxSize is the size in bytes above which a file is not read: that of a hundred
// thousand servers.
const MaxSize = 16 << 20

// ErrUntrusted is matched by the error of a file that is not read because of what
// it is, or of who may write it.
var ErrUntrusted = errors.New("the file is not trusted")

// Read returns the content of a regular file of at most MaxSize bytes which, where
// there are such things, belongs to this user or root and which nobody else may
// write. Links are followed. info is the file's as it was before and after reading;
// it is nil if the file changed meanwhile.
func Read(name string) (data []byte, info fs.FileInfo, err error) {
	f, err := os.OpenFile(name, os.O_RDONLY|noWait, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if err := check(before); err != nil {
		return nil, nil, fmt.Errorf("%s: %w: %w", name, ErrUntrusted, err)
	}
	if data, err = io.ReadAll(io.LimitReader(f, MaxSize+1)); err != nil {
		return nil, nil, err
	}
	if len(data) > MaxSize {
		return nil, nil, fmt.Errorf("%s has more than %d bytes", name, MaxSize)
	}
	after, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if Same(before, after) && after.Size() == int64(len(data)) {
		info = after
	}
	return data, info, nil
}

// Same reports whether two looks at a name have seen the same file, not written to
// in between.
func Same(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// check returns why a file is not believed.
func check(info fs.FileInfo) error {
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("it is no regular file (%v)", info.Mode().Type())
	case info.Mode().Perm()&othersWrite != 0:
		return fmt.Errorf("others than its owner may write it (mode %v)", info.Mode().Perm())
	default:
		return owned(info)
	}
}
