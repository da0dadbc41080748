package config_test

import (
	"testing"

	"github.com/minicaptain/multi_connection_pool/config"
	"github.com/minicaptain/multi_connection_pool/internal/leak"
)

// FuzzParse reads any file: no panic, no more memory than the file is worth, and
// what is valid makes options.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"registry":"zk://h/p","max_active":4}`, `{"max_active":-1}`, `{"idle_timeout":"5s"}`, `{"idle_timeout":5}`, `{"x":1}`, `[`, `null`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var c config.Config
		var err error
		if n := leak.Allocated(func() { c, err = config.Parse(data, nil) }); n > leak.Bound(len(data)) {
			t.Fatalf("%d bytes were allocated for %d", n, len(data))
		}
		if err != nil {
			if len(err.Error()) > 64*len(data)+1024 {
				t.Fatalf("an error of %d bytes for %d", len(err.Error()), len(data))
			}
			return
		}
		_, _ = c.Options() // any answer but a panic
		_ = c.String()
	})
}
