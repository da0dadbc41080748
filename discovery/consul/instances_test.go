package consul

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// byParts is a set that follows the answers of an agent as a Watch does it.
type byParts struct {
	*instances

	set      *discovery.Set
	reported []discovery.Endpoint
}

func newByParts(opts ...Option) *byParts {
	w := &watcher{config: newConfig([]string{"h"}, "echo", opts)}
	return &byParts{instances: newInstances(w), set: w.newSet()}
}

// take returns how many instances of the answer were decoded, those left out that another
// with the same key follows.
func (p *byParts) take(body io.Reader) (decoded int, err error) {
	a, all, err := p.decode(body)
	if err != nil {
		return 0, err
	}
	p.last = newRecognized(all)
	p.replace(p.set, a)
	return len(a.values), nil
}

// whole returns a set that has an answer as encoding/json reads it at once.
func (p *byParts) whole(body []byte) (*discovery.Set, error) {
	var all []json.RawMessage
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&all); err != nil {
		return nil, err
	}
	a := answer{values: make(map[string][]byte)}
	for _, one := range all {
		_, key, value, err := p.valueOf(one)
		if err != nil {
			return nil, err
		}
		a.values[key] = value
	}
	set := p.newSet()
	p.watcher.replace(set, a)
	return set, nil
}

// check takes an answer and compares what there is then with what the whole says.
func (p *byParts) check(t *testing.T, body []byte, chunks func(io.Reader) io.Reader) (decoded int) {
	t.Helper()
	want, wrong := p.whole(body)
	decoded, err := p.take(chunks(bytes.NewReader(body)))
	if (err != nil) != (wrong != nil) {
		t.Fatalf("the answer %q: error %v, want %v", body, err, wrong)
	}
	if err != nil {
		return 0
	}
	p.set.Report(func(all []discovery.Endpoint) { p.reported = all })
	want.Report(func(all []discovery.Endpoint) {
		if !slices.EqualFunc(p.reported, all, discovery.Endpoint.Equal) {
			t.Fatalf("after the answer %q the endpoints are %v, want %v", body, p.reported, all)
		}
	})
	if p.set.Len() != want.Len() || p.set.Malformed() != want.Malformed() {
		t.Fatalf("after the answer %q: %d entries, %d malformed; want %d and %d", body, p.set.Len(), p.set.Malformed(), want.Len(), want.Malformed())
	}
	if len(p.last.all) > p.set.Len() {
		t.Fatalf("after the answer %q, %d instances are remembered of %d", body, len(p.last.all), p.set.Len())
	}
	return decoded
}

// some are instances by name: the key is the first letter.
func some(name string) string {
	switch name[1:] {
	case "big": // more than a chunk
		return fmt.Sprintf(`{"Node":{"Node":%q,"Address":"10.0.0.1"},"Service":{"ID":"i","Port":80,"Meta":{"a":%q}}}`, name[:1], strings.Repeat("]}\\\"{", 20_000))
	case "bad":
		return fmt.Sprintf(`{"Node":{"Node":%q},"Service":{"ID":"i","Port":80}}`, name[:1])
	default:
		return fmt.Sprintf(`{"Node":{"Node":%q,"Address":"10.0.0.1"},"Service":{"ID":"i","Port":80,"Meta":{"a":%q}},"Checks":[{"Output":"}\\\""}]}`, name[:1], name)
	}
}

func list(names string) []byte {
	var all []string
	for name := range strings.FieldsSeq(names) {
		all = append(all, some(name))
	}
	return []byte("[" + strings.Join(all, ",") + "]")
}

func TestOnlyInstancesThatChangedAreDecoded(t *testing.T) {
	p := newByParts()
	for i, c := range []struct {
		names   string
		decoded int
	}{
		{"", 0},
		{"a b c d e", 5},
		{"a b c d e", 0},
		{"a b c2 d e", 1},       // one changes,
		{"a b c2 d e f", 1},     // comes at the end,
		{"x a b c2 d e f", 1},   // at the beginning,
		{"x a y b c2 d e f", 1}, // or between;
		{"a y b c2 d e f", 0},   // one goes from the beginning,
		{"a y b c2 d e", 0},     // from the end,
		{"a y c2 d e", 0},       // or between;
		{"e d c2 y a", 0},       // their order changes
		{"d e c2 y a", 0},
		{"d e cbig ybad a", 2}, // large and malformed ones are instances, too
		{"a cbig e d ybad", 0},
		{"a a e e ybad ybad cbig cbig d d", 0}, // each comes twice,
		{"a e ybad cbig d", 0},                 // and once
		{"a1 a2 a3 b", 2},                      // of those with a key the last one counts,
		{"a3 b", 0},
		{"a1 a3 a2 a3 b", 0}, // wherever it was
		{"a3 a1 b", 1},
		{"a1 a3 b", 1},
		{"a1 b a3", 0},
		{"a2 a3 a2 b", 1},
		{"a2 b", 0},
		{"", 0},
		{"a b c", 3},
	} {
		if got := p.check(t, list(c.names), iotest.HalfReader); got != c.decoded {
			t.Errorf("answer %d, %s: %d instances were decoded, want %d", i, c.names, got, c.decoded)
		}
	}
}

// TestInstancesByPartsAreThoseOfTheWhole makes random answers of a few instances: in any
// order, several with the same key, some cut off or spoilt.
func TestInstancesByPartsAreThoseOfTheWhole(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	p := newByParts()
	decoded, all := 0, 0
	for range 5000 {
		var names []string
		for range rnd.IntN(8) {
			names = append(names, string(rune('a'+rnd.IntN(4)))+[]string{"", "1", "2", "bad"}[rnd.IntN(4)])
		}
		body := list(strings.Join(names, " "))
		switch at := rnd.IntN(len(body)); rnd.IntN(8) {
		case 0:
			body = body[:at]
		case 1:
			body[at] = "{}[],:\"\\ nx"[rnd.IntN(11)]
		case 2:
			body = slices.Insert(body, at, "{}[],:\"\\ nx"[rnd.IntN(11)])
		case 3:
			body = bytes.ReplaceAll(body, []byte("},{"), []byte("} ,\n\t{"))
		case 4:
			body = append(body, "{}[],:\"\\ nx"[rnd.IntN(11)])
		}
		decoded += p.check(t, body, []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader}[rnd.IntN(3)])
		all += len(names)
	}
	if decoded > all*3/4 {
		t.Errorf("%d of %d instances were decoded", decoded, all)
	}
}
