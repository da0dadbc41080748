package combine

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/internal/duration"
)

// DefaultFailover is how long "or else" waits if the text does not say "after".
const DefaultFailover = 10 * time.Second

// Open returns a watcher of what a text names: a URL, as [discovery.Mux.Open] takes
// it, or several with words between them.
//
//	zk://h1/services/echo and etcd://h2/services/echo
//	zk://h1/services/echo or else file:///var/lib/echo/servers
//	zk://h1/services/echo or else after 1m static://10.0.0.7:9090
//
// "and" is [Union]: the servers of all of them. "or else" is [Failover]: the next one
// while those before it are lost, after [DefaultFailover] or the duration behind
// "after". "and" binds closer. Each URL has its own parameters. Like that of a Mux,
// the error names every mistake in the URLs, and Open connects to nothing.
func Open(m *discovery.Mux, text string) (discovery.Watcher, error) {
	alternatives, err := parse(text)
	if err != nil {
		return nil, err
	}
	var errs []error
	var w discovery.Watcher
	for i, a := range slices.Backward(alternatives) { // the last one is nobody's primary
		var all []discovery.Watcher
		for _, url := range a.urls {
			one, err := m.Open(url)
			errs = append(errs, err)
			all = append(all, one)
		}
		first := all[0]
		if len(all) > 1 {
			first = Union(all...)
		}
		if w == nil {
			w = first
		} else {
			w = Failover(first, w, alternatives[i+1].after)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return w, nil
}

// Print returns a text that [Open] takes without the secrets of its URLs, as
// [discovery.URL.String] does, or its error.
func Print(text string) (string, error) {
	alternatives, err := parse(text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for i, a := range alternatives {
		switch {
		case i == 0:
		case a.after == DefaultFailover:
			b.WriteString(" or else ")
		default:
			fmt.Fprintf(&b, " or else after %v ", a.after)
		}
		for j, url := range a.urls {
			u, err := discovery.ParseURL(url)
			if err != nil {
				return "", err
			}
			if j > 0 {
				b.WriteString(" and ")
			}
			b.WriteString(u.String())
		}
	}
	return b.String(), nil
}

// alternative is the URLs of a union, which may be one, and how long those before it
// have to be lost.
type alternative struct {
	urls  []string
	after time.Duration
}

// parse splits a text into alternatives, of which there is at least one. Its errors
// quote nothing that may belong to a URL.
func parse(text string) ([]alternative, error) {
	words := strings.Fields(text)
	if len(words) < 2 { // a URL, or the Mux says what it lacks
		return []alternative{{urls: []string{text}}}, nil
	}
	all := []alternative{{}}
	for i := 0; ; {
		last := &all[len(all)-1]
		if i == len(words) || !strings.Contains(words[i], "://") {
			return nil, mistake(i, len(words), "is not a URL")
		}
		last.urls = append(last.urls, words[i])
		i++
		switch rest := words[i:]; {
		case len(rest) == 0:
			return all, nil
		case rest[0] == "and":
			i++
		case len(rest) > 1 && rest[0] == "or" && rest[1] == "else":
			next := alternative{after: DefaultFailover}
			i += 2
			if len(rest) > 3 && rest[2] == "after" {
				var err error
				if next.after, err = duration.Parse(rest[3]); err != nil || next.after < 0 {
					return nil, mistake(i+1, len(words), `is not a duration such as "30s"`)
				}
				i += 2
			}
			all = append(all, next)
		default:
			return nil, mistake(i, len(words), "joins no URLs")
		}
	}
}

// mistake is the error of the word at an index.
func mistake(index, words int, what string) error {
	where := fmt.Sprintf("word %d of %d", index+1, words)
	if index == words {
		where, what = "the end", "comes where a URL is missing"
	}
	return fmt.Errorf(`combine: %s %s: between two URLs write "and" for the servers of both, or "or else" for the second one while the first is lost, `+
		`such as "zk://h1/services/echo or else file:///var/lib/echo/servers"; a space within a URL is %%20`, where, what)
}
