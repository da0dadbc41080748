package file

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestBadContentIsAnErrorThatNamesThePlace(t *testing.T) {
	for content, want := range map[string]string{
		"":                                   "it is empty",
		"10.0.0.1:9090\n10.0.0.2:909":        "half written",
		"10.0.0.1:9090\n10.0.0.2\n":          "line 2: ",
		"10.0.0.1:9090 west\n":               `line 1: the weight "west"`,
		"10.0.0.1:9090 0\n":                  `line 1: the weight "0"`,
		"10.0.0.1:9090 1 west x\n":           "line 1: it has more than three fields",
		"10.0.0.1:9090 NaN\n":                "line 1: the weight",
		"a:1\n#\na:1\n":                      "line 3: a:1 is listed already, at 1",
		"[\n{\"Addr\":\"10.0.0.1:9090\"},\n": "line 3: it is not a JSON array of servers: unexpected EOF",
		`{"registry": "zk://h/p"}`:           "line 1: it is not a JSON array of servers",
		`["10.0.0.1:9090"]`:                  "not a JSON array of servers",
		`[{"Addr":"a:1","Port":1}]`:          `unknown field "Port"`,
		`[{"Addr":"a:1"}] x`:                 "more behind",
		`[{"Addr":"a:1"},{"Addr":"a"}]`:      "entry 2 of 2",
		`[{"Addr":"a:1"},{"Addr":"a:1"}]`:    "entry 2 of 2: a:1 is listed already",
		"\x7fELF\x02\x01\n":                  "line 1: ",
		"root:x:0:0:root:/root:/bin/bash\n":  "line 1: ",
	} {
		if set, err := parse([]byte(content)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: read as %v, error %v, want %q", content, set, err, want)
		}
	}
}

// FuzzParse checks that whatever is taken is valid, and is read as it was written.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"a:1\n", "a:1 2 west\n# x\n\n[::1]:80\n", `[{"Addr":"a:1","Weight":2}]`, "[]", "[ ]", "[", "{", "\n", "a:1 1e308\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := parse(data)
		if err != nil {
			return
		}
		for _, e := range set {
			if err := e.Validate(); err != nil {
				t.Error(err)
			}
		}
		again, err := json.Marshal(set)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parse(again); err != nil || !reflect.DeepEqual(got, set) {
			t.Errorf("read %v as %v, error %v", set, got, err)
		}
	})
}
