package plugintest

import (
	"strings"
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

func TestSectionOfParametersIsReplacedAndWrapped(t *testing.T) {
	params := []discovery.Param{
		{Name: "ttl", Type: "duration", Default: "10s", Doc: "how long an entry outlives its program"},
		{Name: "tag", Type: "text", Doc: strings.TrimSpace(strings.Repeat("word ", 20))},
	}
	const want = `// Package p does something.
//
// # URL parameters
//
//   - ttl: how long an entry outlives its program (duration; default 10s).
//   - tag: word word word word word word word word word word word word word word word word
//     word word word word (text).
package p

import "fmt"
`
	text := "// Package p does something.\npackage p\n\nimport \"fmt\"\n"
	once := withParameters(text, params)
	if once != want {
		t.Errorf("got\n%s\nwant\n%s", once, want)
	}
	if again := withParameters(withParameters(text, params[:1]), params); again != want {
		t.Errorf("a second time it is\n%s", again)
	}
}
