// Package survey finds out what a registry has where a watcher finds no server: entries
// of another format, or servers beside the path.
package survey

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

// Sample is how many entries of a place are looked at.
const Sample = 16

// Entry is one entry of a registry.
type Entry struct {
	Key   string
	Value []byte
}

// Warner reports the warnings of one watch.
type Warner struct {
	seen   string // what the set was at the last look
	warned string // the text of the last warning
	told   bool   // there was a report; before, a warning of an earlier Watch may stand
}

// Look reports what a user should know of the set, with the first look and whenever that
// has changed: entries that are skipped and, if there is no server, what explain returns, which
// asks the registry and may return nil. servers is the length of the last report.
func (w *Warner) Look(ctx context.Context, set *discovery.Set, servers int, explain func(context.Context) error) {
	err := set.Warning()
	seen := fmt.Sprint(set.Len(), servers > 0, err)
	if seen == w.seen {
		return
	}
	w.seen = seen
	if servers == 0 {
		if why := explain(ctx); why != nil && err != nil {
			err = fmt.Errorf("%w; %w", why, err)
		} else if why != nil {
			err = why
		}
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	if (!w.told || text != w.warned) && ctx.Err() == nil {
		w.told, w.warned = true, text
		discovery.ReportWarning(ctx, err)
	}
}

// Servers returns how many of the entries have servers in the format.
func Servers(f format.Format, path string, entries []Entry) int {
	n := 0
	for _, e := range entries {
		if ok, _ := hasServers(decoderAt(f, path), e); ok {
			n++
		}
	}
	return n
}

// Describe describes entries, of which there are total at path: "0 of 12 entries are
// servers in format kratos; 12 look like rpcx".
func Describe(f format.Format, path string, total int, entries []Entry) string {
	var b strings.Builder
	servers := Servers(f, path, entries)
	if total > len(entries) {
		fmt.Fprintf(&b, "of %d entries, the first %d were looked at, and %d are servers in format %s", total, len(entries), servers, f.Name)
	} else {
		fmt.Fprintf(&b, "%d of %d entries are servers in format %s", servers, len(entries), f.Name)
	}
	others, silent := map[string]int{}, 0
	for _, e := range entries {
		ok, err := hasServers(decoderAt(f, path), e)
		if ok {
			continue
		}
		if name := looksLike(e); name != "" && name != family(f.Name) {
			others[name]++
		} else if err == nil {
			silent++
		}
	}
	for _, name := range slices.SortedFunc(maps.Keys(others), func(a, b string) int {
		return cmp.Or(others[b]-others[a], strings.Compare(a, b))
	}) {
		fmt.Fprintf(&b, "; %d look like %s", others[name], name)
	}
	if silent > 0 {
		fmt.Fprintf(&b, "; %d take no calls, or are of something else", silent)
	}
	return b.String()
}

func decoderAt(f format.Format, path string) discovery.Decoder {
	if f.DecodeAt != nil {
		return f.DecodeAt(path)
	}
	return f.Decode
}

func family(name string) string {
	name, _, _ = strings.Cut(name, ":")
	return name
}

func hasServers(decode discovery.Decoder, e Entry) (ok bool, err error) {
	defer func() {
		if v := recover(); v != nil { // a decoder of the user's
			err = fmt.Errorf("the decoder panicked: %v", v)
		}
	}()
	eps, err := decode(e.Key, e.Value)
	return len(eps) > 0, err
}

// looksLike returns the format of an entry, empty if none of those that are told apart
// fits. The more a format demands, the earlier it is tried.
func looksLike(e Entry) string {
	for _, name := range []string{
		"kafka", "patroni", "curator", "serverset", "kratos", "micro", "goframe-zk", "kitex-etcd", "naming", "nerve", "kitex-zk",
		"clickhouse", "dubbo", "rpcx", "solr", "hbase", "shallow-party", "value", "name",
	} {
		switch {
		case name == "kitex-zk" && !strings.Contains(string(e.Value[:min(len(e.Value), 1024)]), `"Weight"`),
			name == "name" && len(e.Value) > 0:
			continue // they take any object, and any value
		}
		if f, err := format.Named(name); err == nil {
			if ok, _ := hasServers(f.Decode, e); ok {
				return name
			}
		}
	}
	return ""
}
