//go:build unix

package trusted

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

const (
	// noWait keeps the opening of a named pipe from waiting for a writer.
	noWait = syscall.O_NONBLOCK
	// othersWrite are the permissions that let others write.
	othersWrite = 0o022
)

// owned returns an error if the file belongs to another user.
func owned(info fs.FileInfo) error {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("it belongs to user %d", st.Uid)
	}
	return nil
}
