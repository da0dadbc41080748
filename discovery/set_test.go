package discovery_test

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// words decodes an entry of addresses, each with a zone behind a slash; "!" is
// malformed, "-" foreign, "panic" a bug. It counts what it decodes.
func words(decodes *int) func(string, []byte) ([]discovery.Endpoint, error) {
	return func(_ string, value []byte) (eps []discovery.Endpoint, err error) {
		*decodes++
		for w := range strings.FieldsSeq(string(value)) {
			switch w {
			case "!":
				err = errors.New("malformed")
			case "-":
				return nil, nil
			case "panic":
				panic("a bug")
			default:
				addr, zone, _ := strings.Cut(w, "/")
				eps = append(eps, discovery.Endpoint{Addr: addr, Zone: zone})
			}
		}
		return eps, err
	}
}

func entries(m map[string]string) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for k, v := range m { // in any order
			if !yield(k, []byte(v)) {
				return
			}
		}
	}
}

// text is a set of endpoints as words writes them.
func text(eps []discovery.Endpoint) string {
	all := make([]string, len(eps))
	for i, e := range eps {
		all[i] = e.Addr
		if e.Zone != "" {
			all[i] += "/" + e.Zone
		}
	}
	return strings.Join(all, " ")
}

// reported returns what s has to report, and "same" if it reports nothing.
func reported(s *discovery.Set) string {
	got := "same"
	s.Report(func(eps []discovery.Endpoint) { got = text(eps) })
	return got
}

func TestSetReportsCompleteSetsAfterChangesOnly(t *testing.T) {
	var n int
	s := discovery.NewSet(words(&n), nil)
	for i, step := range []struct {
		do   func()
		want string
	}{
		{func() {}, ""}, // an empty set is reported once
		{func() {}, "same"},
		{func() { s.Put("b", []byte("b:1")) }, "b:1"},
		{func() { s.Put("a", []byte("a:1 a:2")) }, "a:1 a:2 b:1"},
		{func() { s.Put("a", []byte("a:1 a:2")) }, "same"},
		{func() { s.Put("a", []byte(" a:1  a:2 ")) }, "same"},
		{func() { s.Put("a", []byte("a:2 a:1")) }, "a:2 a:1 b:1"},
		{func() { s.Put("a", []byte("a:1/z")) }, "a:1/z b:1"},
		{func() { s.Delete("nobody") }, "same"},
		// A set may be repeated: only Follow compares sets.
		{func() { s.Put("c", []byte("c:1")); s.Delete("c") }, "a:1/z b:1"},
		{func() { s.Delete("b"); s.Put("b", []byte("b:1")) }, "a:1/z b:1"},
		{func() { s.Put("foreign", []byte("-")) }, "same"},
		{func() { s.Delete("foreign") }, "same"},
		{func() { s.Replace(entries(map[string]string{"c": "c:1", "a": "a:1/z"})) }, "a:1/z c:1"},
		{func() { s.Replace(entries(map[string]string{"c": "c:1", "a": "a:1/z"})) }, "same"},
		{func() { s.Delete("a"); s.Delete("c") }, ""},
		{func() { s.Replace(entries(nil)) }, "same"},
	} {
		step.do()
		if got := reported(s); got != step.want {
			t.Errorf("step %d: reported %q, want %q", i, got, step.want)
		}
	}
}

func TestMalformedEntryIsSkippedAndCounted(t *testing.T) {
	var n int
	var skipped []string
	s := discovery.NewSet(words(&n), func(key string, err error) {
		if err == nil {
			t.Errorf("%s is skipped without an error", key)
		}
		skipped = append(skipped, key)
	})
	relist := func() {
		s.Replace(entries(map[string]string{"a": "a:1", "b": "!", "c": "c:1 ! c:2", "d": "panic", "e": "nonsense e:1", "f": "-"}))
	}
	relist()
	if got, want := reported(s), "a:1 c:1 c:2 e:1"; got != want {
		t.Errorf("reported %q, want %q", got, want)
	}
	slices.Sort(skipped)
	if want := []string{"b", "c", "d", "e"}; !slices.Equal(skipped, want) {
		t.Errorf("skipped are %q, want %q", skipped, want)
	}
	if s.Malformed() != 4 || s.Len() != 6 {
		t.Errorf("%d of %d malformed", s.Malformed(), s.Len())
	}
	skipped = nil
	relist()
	if skipped != nil {
		t.Errorf("skipped again are %q", skipped)
	}
	s.Put("b", []byte("b:1"))
	s.Delete("c")
	if got, want := reported(s), "a:1 b:1 e:1"; got != want || s.Malformed() != 2 {
		t.Errorf("reported %q with %d malformed, want %q", got, s.Malformed(), want)
	}
	s.Put("a", []byte("!"))
	if got, want := reported(s), "b:1 e:1"; got != want || s.Malformed() != 3 {
		t.Errorf("reported %q with %d malformed, want %q", got, s.Malformed(), want)
	}
}

func TestOfTwoEntriesWithOneAddressTheLowerKeyCounts(t *testing.T) {
	for _, order := range [][]string{{"1", "2", "3"}, {"3", "2", "1"}, {"2", "3", "1"}} {
		var n int
		s := discovery.NewSet(words(&n), nil)
		for _, key := range order {
			s.Put(key, []byte("a:1/"+key))
		}
		s.Put("0", []byte("b:1 b:1/twice"))
		want := []string{"b:1 a:1/1", "b:1 a:1/2", "b:1 a:1/3", "b:1"}
		for i, key := range []string{"1", "2", "3", ""} {
			if got := reported(s); got != want[i] {
				t.Errorf("in the order %q without the first %d: reported %q, want %q", order, i, got, want[i])
			}
			s.Delete(key)
		}
	}
	var n int
	s := discovery.NewSet(words(&n), nil)
	s.Put("1", []byte("a:1"))
	s.Put("2", []byte("a:1/x"))
	_ = reported(s)
	s.Put("2", []byte("a:1/y"))
	if got := reported(s); got != "a:1" { // repeated: what changed does not count
		t.Errorf("reported %q", got)
	}
}

func TestRetainReturnsTheMissingKeys(t *testing.T) {
	var n int
	s := discovery.NewSet(words(&n), nil)
	s.Replace(entries(map[string]string{"a": "a:1", "b": "b:1"}))
	if got := s.Retain([]string{"d", "b", "c", "d"}); !slices.Equal(got, []string{"d", "c"}) {
		t.Errorf("missing are %q", got)
	}
	if got := reported(s); got != "b:1" {
		t.Errorf("reported %q", got)
	}
	if got := s.Retain([]string{"b"}); got != nil {
		t.Errorf("missing are %q", got)
	}
}

func TestOneChangeAmongTenThousandCostsOneDecode(t *testing.T) {
	var n int
	s, all := big(&n)
	n = 0
	s.Put("key-05000", []byte("changed:1"))
	if !s.Report(func([]discovery.Endpoint) {}) || n != 1 {
		t.Errorf("a change cost %d decodes", n)
	}
	n = 0
	all["key-05000"] = "again:1"
	s.Replace(entries(all))
	if !s.Report(func([]discovery.Endpoint) {}) || n != 1 {
		t.Errorf("a list with one change cost %d decodes", n)
	}
	n = 0
	s.Delete("key-05000")
	if !s.Report(func([]discovery.Endpoint) {}) || n != 0 {
		t.Errorf("a removal cost %d decodes", n)
	}
}

func big(decodes *int) (*discovery.Set, map[string]string) {
	all := make(map[string]string)
	for i := range 10_000 {
		all[fmt.Sprintf("key-%05d", i)] = fmt.Sprintf("10.0.%d.%d:9090", i/250, i%250)
	}
	s := discovery.NewSet(words(decodes), nil)
	s.Replace(entries(all))
	s.Report(func([]discovery.Endpoint) {})
	return s, all
}

func BenchmarkOneChangeAmongTenThousand(b *testing.B) {
	var n int
	s, _ := big(&n)
	for i := 0; b.Loop(); i++ {
		s.Put("key-05000", fmt.Appendf(nil, "changed:%d", 1+i%2))
		s.Report(func([]discovery.Endpoint) {})
	}
}

func BenchmarkTenThousandPuts(b *testing.B) {
	var n int
	_, all := big(&n)
	for b.Loop() {
		s := discovery.NewSet(words(&n), nil)
		for key, value := range all { // in any order
			s.Put(key, []byte(value))
		}
		s.Report(func([]discovery.Endpoint) {})
	}
}

func TestKeptEntriesStayWithoutTheirValues(t *testing.T) {
	var n int
	s := discovery.NewSet(words(&n), nil)
	s.Replace(entries(map[string]string{"a": "a:1", "b": "b:1", "c": "c:1", "d": "!"}))
	n = 0
	s.Replace(entries(map[string]string{"c": "c:2"}), "a", "c", "d", "e", "a")
	if got := reported(s); got != "a:1 c:2" || n != 1 || s.Len() != 3 || s.Malformed() != 1 {
		t.Errorf("reported %q after %d decodes; %d entries, %d malformed", got, n, s.Len(), s.Malformed())
	}
	s.Replace(entries(nil), "a", "c", "d")
	if got := reported(s); got != "same" || n != 1 || s.Len() != 3 {
		t.Errorf("reported %q after %d decodes; %d entries", got, n, s.Len())
	}
}

func TestReceiverMayModifyTheReportedSlice(t *testing.T) {
	var n int
	s := discovery.NewSet(words(&n), nil)
	s.Put("a", []byte("a:1"))
	s.Report(func(eps []discovery.Endpoint) { eps[0] = discovery.Endpoint{Addr: "spoilt:1"} })
	s.Put("b", []byte("b:1"))
	if got := reported(s); got != "a:1 b:1" {
		t.Errorf("reported %q", got)
	}
}

// TestSetEqualsItsModel does random things to a set and to a plain map.
func TestSetEqualsItsModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	values := []string{"a:1", "a:1/z", "b:1", "a:1 b:1", "c:1 a:1/y", "!", "-", "c:1 !", "b:1 b:1/x", "panic", ""}
	var n int
	s := discovery.NewSet(words(&n), nil)
	model := map[string]string{}
	last, unchanged := "nothing yet", 0
	for step := range 20_000 {
		key, value := string(rune('a'+rnd.IntN(6))), values[rnd.IntN(len(values))]
		switch rnd.IntN(10) {
		case 0:
			list, kept := map[string]string{}, []string{}
			for range rnd.IntN(6) {
				list[string(rune('a'+rnd.IntN(6)))] = values[rnd.IntN(len(values))]
			}
			for range rnd.IntN(3) {
				kept = append(kept, string(rune('a'+rnd.IntN(6))))
			}
			s.Replace(entries(list), kept...)
			maps.DeleteFunc(model, func(k, _ string) bool { return !slices.Contains(kept, k) })
			maps.Copy(model, list)
		case 1:
			keep := []string{key, "a", "b"}
			maps.DeleteFunc(model, func(k, _ string) bool { return !slices.Contains(keep, k) })
			s.Retain(keep)
		case 2, 3, 4:
			delete(model, key)
			s.Delete(key)
		default:
			model[key] = value
			s.Put(key, []byte(value))
		}
		if rnd.IntN(3) == 0 {
			continue
		}
		want, bad := oracle(model)
		got := reported(s)
		if got == "same" {
			got = last
			unchanged++
		}
		last = want
		if got != want || s.Malformed() != bad || s.Len() != len(model) {
			t.Fatalf("step %d: reported %q with %d of %d malformed, want %q with %d; model %v",
				step, got, s.Malformed(), s.Len(), want, bad, model)
		}
	}
	if unchanged < 1000 {
		t.Errorf("only %d of 20000 steps reported nothing", unchanged)
	}
}

// oracle computes from scratch what the set should report.
func oracle(model map[string]string) (set string, malformed int) {
	seen := map[string]bool{}
	var all []discovery.Endpoint
	for _, key := range slices.Sorted(maps.Keys(model)) {
		value := model[key]
		if strings.ContainsAny(value, "!p") {
			malformed++
		}
		if value == "-" || value == "panic" {
			continue
		}
		for w := range strings.FieldsSeq(strings.ReplaceAll(value, "!", "")) {
			addr, zone, _ := strings.Cut(w, "/")
			if !seen[addr] {
				all = append(all, discovery.Endpoint{Addr: addr, Zone: zone})
			}
			seen[addr] = true
		}
	}
	return text(all), malformed
}

func TestSetKeepsACopyOfTheValue(t *testing.T) {
	var n int
	s := discovery.NewSet(words(&n), nil)
	value := []byte("a:1")
	s.Put("a", value)
	copy(value, "b:1")
	s.Put("a", value)
	var got []discovery.Endpoint
	s.Report(func(eps []discovery.Endpoint) { got = eps })
	if want := []discovery.Endpoint{{Addr: "b:1"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("reported %v", got)
	}
}

func TestEntryThatIsTooLargeIsSkipped(t *testing.T) {
	decodes, skipped := 0, ""
	set := discovery.NewSet(words(&decodes), func(_ string, err error) { skipped = err.Error() })
	set.Put("a", []byte("a:1"+strings.Repeat(" ", 1<<20)))
	if decodes != 0 || set.Malformed() != 1 || !strings.Contains(skipped, "1048579 bytes") {
		t.Errorf("%d decodes, %d malformed, skipped: %s", decodes, set.Malformed(), skipped)
	}
	var many []string
	for i := range 1030 {
		many = append(many, fmt.Sprintf("h%d:1", i))
	}
	set.Put("b", []byte(strings.Join(many, " ")))
	set.Report(func(eps []discovery.Endpoint) {
		if len(eps) != 1024 || eps[1023].Addr != "h1023:1" {
			t.Errorf("%d endpoints, the last is %v", len(eps), eps[len(eps)-1])
		}
	})
	if set.Malformed() != 2 || !strings.Contains(skipped, "1030 endpoints") {
		t.Errorf("%d malformed, skipped: %s", set.Malformed(), skipped)
	}
}

func TestSetAsksOverTheWholeSetWhichEndpointsCount(t *testing.T) {
	var n int
	s := discovery.NewSet(words(&n), nil)
	s.Select(func(set []discovery.Endpoint) []discovery.Endpoint { // of the highest zone
		top := ""
		for _, e := range set {
			top = max(top, e.Zone)
		}
		return slices.DeleteFunc(set, func(e discovery.Endpoint) bool { return e.Zone < top })
	})
	s.Replace(entries(map[string]string{"1": "a:1/x", "2": "b:1/x"}))
	if got := reported(s); got != "a:1/x b:1/x" {
		t.Errorf("got %s", got)
	}
	s.Put("3", []byte("c:1/y"))
	if got := reported(s); got != "c:1/y" {
		t.Errorf("with a better one got %s", got)
	}
	s.Delete("3")
	if got := reported(s); got != "a:1/x b:1/x" {
		t.Errorf("without it got %s", got)
	}
}

func TestWarningOfASetNamesNoEntryThatIsGone(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*discovery.Set)
		want   string
	}{
		"deleted":       {func(s *discovery.Set) { s.Delete("3") }, `discovery: 1 of 2 entries are skipped, such as "2"`},
		"mended":        {func(s *discovery.Set) { s.Put("3", []byte("c:1")) }, `discovery: 1 of 3 entries are skipped, such as "2"`},
		"not retained":  {func(s *discovery.Set) { s.Retain([]string{"2"}) }, `discovery: 1 of 1 entries are skipped, such as "2"`},
		"another":       {func(s *discovery.Set) { s.Delete("2") }, `discovery: 1 of 2 entries are skipped; the last one, "3": malformed`},
		"still skipped": {func(s *discovery.Set) { s.Put("3", []byte("panic")) }, `discovery: 2 of 3 entries are skipped; the last one, "3": discovery: the decoder panicked: a bug`},
		"a later one": {func(s *discovery.Set) {
			s.Delete("3")
			s.Put("4", []byte("!"))
		}, `discovery: 2 of 3 entries are skipped; the last one, "4": malformed`},
	} {
		var n int
		s := discovery.NewSet(words(&n), nil)
		s.Put("1", []byte("a:1"))
		s.Put("2", []byte("!"))
		s.Put("3", []byte("!"))
		if c.change(s); s.Warning() == nil || s.Warning().Error() != c.want {
			t.Errorf("%s: the warning is %v, want %s", name, s.Warning(), c.want)
		}
	}
}
