package combine

import (
	"slices"
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/internal/leak"
)

// FuzzRemembered reads any file of Remember: no panic, every endpoint valid, no more
// memory than the file is worth, and what is written again is read as it was.
func FuzzRemembered(f *testing.F) {
	for _, s := range []string{
		`[]`, `null`, `[{"Addr":"h:1"}]`, `[{"Addr":"h:1","Weight":2,"Zone":"z","Attrs":{"a":"b"}},{"Addr":"h"}]`, `[{}`, `[[]]`, `[{"Addr":1}]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var set []discovery.Endpoint
		if n := leak.Allocated(func() { set, _ = decode(data) }); n > leak.Bound(len(data)) {
			t.Fatalf("%d bytes were allocated for %d", n, len(data))
		}
		for _, e := range set {
			if err := e.Validate(); err != nil {
				t.Fatal(err)
			}
		}
		written, err := encode(set)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := decode(written); err != nil || !slices.EqualFunc(again, set, discovery.Endpoint.Equal) {
			t.Fatalf("%v was written, and read as %v, %v", set, again, err)
		}
	})
}
