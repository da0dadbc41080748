package combine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/combine"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

// mux has lists, and a registry that is always down.
func mux() *discovery.Mux {
	var m discovery.Mux
	m.Handle("static", static.Opener)
	m.Handle("down", func(*discovery.Params) discovery.Backend { return down{} })
	return &m
}

type down struct{}

func (down) Watcher(*discovery.URL) (discovery.Watcher, error) { return down{}, nil }

func (down) Watch(ctx context.Context, _ func([]discovery.Endpoint)) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.New("it is down")
}

func TestURLsAreJoinedByWords(t *testing.T) {
	for text, want := range map[string]struct {
		addrs []string
		after time.Duration
	}{
		"static://10.0.0.1:1":                         {[]string{"10.0.0.1:1"}, 0},
		"static://10.0.0.1:1 and static://10.0.0.2:1": {[]string{"10.0.0.1:1", "10.0.0.2:1"}, 0},
		"static://10.0.0.1:1 and static://10.0.0.2:1\n and static://10.0.0.1:1,10.0.0.3:1":                 {[]string{"10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"}, 0},
		"static://10.0.0.1:1 or else static://10.0.0.2:1":                                                  {[]string{"10.0.0.1:1"}, 0},
		"down://x or else static://10.0.0.2:1":                                                             {[]string{"10.0.0.2:1"}, combine.DefaultFailover},
		"down://x or else after 1m static://10.0.0.2:1":                                                    {[]string{"10.0.0.2:1"}, time.Minute},
		"down://x or else after 0s static://10.0.0.2:1":                                                    {[]string{"10.0.0.2:1"}, 0},
		"down://x or else after 2s down://y or else static://10.0.0.3:1":                                   {[]string{"10.0.0.3:1"}, 2*time.Second + combine.DefaultFailover},
		"down://x and static://10.0.0.1:1 or else static://10.0.0.2:1 and static://10.0.0.3:1?where=zone:": {[]string{"10.0.0.2:1", "10.0.0.3:1"}, combine.DefaultFailover},
	} {
		t.Run(text, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, err := combine.Open(mux(), text)
				if err != nil {
					t.Fatal(err)
				}
				ctx, stop := context.WithCancel(t.Context())
				began := time.Now()
				_ = w.Watch(ctx, func(set []discovery.Endpoint) {
					stop()
					var addrs []string
					for _, e := range set {
						addrs = append(addrs, e.Addr)
					}
					slices.Sort(addrs)
					if took := time.Since(began); !slices.Equal(addrs, want.addrs) || took != want.after {
						t.Errorf("got %v after %v, want %v after %v", addrs, took, want.addrs, want.after)
					}
				})
				stop()
			})
		})
	}
}

func TestAMistakeInATextSaysWhatToWrite(t *testing.T) {
	for text, want := range map[string]string{
		"":                                            "no scheme",
		"hunter2":                                     "no scheme",
		"static://a:1 static://hunter2:1":             `word 2 of 2 joins no URLs: between two URLs write "and"`,
		"static://a:1 or static://b:1":                "word 2 of 3 joins no URLs",
		"static://a:1 or else":                        "the end comes where a URL is missing",
		"static://a:1 and":                            "the end comes where a URL is missing",
		"static://a:1 and hunter2":                    "word 3 of 3 is not a URL",
		"static://a:1, hunter2/p":                     "a space within a URL is %20",
		"static://a:1 or else after static://b":       `word 5 of 5 is not a`,
		"static://a:1 or else after 5 static://b":     `word 5 of 6 is not a duration such as "30s"`,
		"static://a:1 or else after -5s static://b:1": `word 5 of 6 is not a duration`,
		"static://a:1?nme=x and zk://h/p":             "nme",
	} {
		w, err := combine.Open(mux(), text)
		if err == nil || w != nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %v, error %v, want one with %q", text, w, err, want)
		}
	}
	_, err := combine.Open(mux(), "static://a:1?nme=x and zk://h/p or else static://")
	for _, want := range []string{"nme", `scheme "zk" is not known`, "static://: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("every mistake: %v, want %q", err, want)
		}
	}
}

func TestATextIsPrintedWithoutItsSecrets(t *testing.T) {
	const text = "zk://user:hunter2@h/p?token=hunter2  and static://a:1 or else after 1m etcd://hunter2@h/p or else file:///x"
	want := "zk://user:xxxxx@h/p?token=... and static://a:1 or else after 1m0s etcd://xxxxx@h/p or else file:///x"
	if got, err := combine.Print(text); got != want || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	for _, bad := range []string{"hunter2", "zk://h/p hunter2", "zk://h/p and zk://hunter2#"} {
		if got, err := combine.Print(bad); got != "" || err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %q, %v", bad, got, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	for _, s := range []string{"static://a:1", "static://a:1 and static://b:1", "down://x or else after 1s static://a:1", "a or else"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		w, err := combine.Open(mux(), text)
		if (w == nil) == (err == nil) {
			t.Fatalf("%q: %v, %v", text, w, err)
		}
		printed, err := combine.Print(text)
		if err != nil {
			return
		}
		if again, err := combine.Print(printed); err != nil || again != printed {
			t.Fatalf("%q is printed %q, and that %q, %v", text, printed, again, err)
		}
		_ = fmt.Sprint(w)
	})
}
