package etcd_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery/etcd"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/plugintest"
)

func TestWrongFormatIsNamed(t *testing.T) {
	all := servers(t)
	db, prefix := raw(t, all), newPrefix()
	for i := range 12 {
		put(t, db, fmt.Sprintf("%stcp@10.0.0.%d:8972", prefix, i+1), "weight=3&group=a")
	}
	plugintest.AwaitWarning(t, etcd.Watcher(all, prefix, etcd.WithFormat(format.Kratos("grpc"))),
		"0 of 12 entries are servers in format kratos", "12 look like rpcx", prefix, "12 of 12 entries are skipped")
	// Of a format that reads no values, they are read for this.
	plugintest.AwaitWarning(t, etcd.Watcher(all, prefix, etcd.WithFormat(format.PlainKey())),
		"0 of 12 entries are servers in format name; 12 look like rpcx")
}

func TestSlashThatIsMissingOrSuperfluousIsNamed(t *testing.T) {
	all := servers(t)
	db, prefix := raw(t, all), newPrefix()
	bare := strings.TrimPrefix(prefix, "/")
	slash := "/" + bare
	put(t, db, bare+"without/a", entry("10.0.0.1:80"))
	put(t, db, slash+"with/a", `{"id":"a","name":"with","version":"","metadata":null,"endpoints":["grpc://10.0.0.1:9000?isSecure=false"]}`)
	plugintest.AwaitWarning(t, etcd.Watcher(all, slash+"without"),
		fmt.Sprintf("nothing is below %q", slash+"without/"), fmt.Sprintf("below %q, without the slash in front: 1 of 1 entries are servers", bare+"without/"))
	plugintest.AwaitWarning(t, etcd.Watcher(all, bare+"with"),
		fmt.Sprintf("below %q, with a slash in front: 0 of 1 entries are servers in format naming; 1 look like kratos", slash+"with/"))
}

func TestPathOfOneServerIsNamed(t *testing.T) {
	all := servers(t)
	db, prefix := raw(t, all), newPrefix()
	put(t, db, prefix+"10.0.0.1:80", entry("10.0.0.1:80"))
	plugintest.AwaitWarning(t, etcd.Watcher(all, prefix+"10.0.0.1:80"), "one level up", fmt.Sprintf("below %q: 1 of 1 entries are servers", prefix))
}

func TestEntriesThatAreSkippedBesideGoodOnesAreAWarning(t *testing.T) {
	all := servers(t)
	db, prefix := raw(t, all), newPrefix()
	put(t, db, prefix+"a", entry("10.0.0.1:80"))
	put(t, db, prefix+"b", "nonsense")
	plugintest.AwaitWarning(t, etcd.Watcher(all, prefix), "1 of 2 entries are skipped; the last one", prefix+"b")
}
