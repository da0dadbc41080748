package survey_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/survey"
)

// golden returns the first entry of the format's golden ones, which its program wrote.
func golden(t *testing.T, name string) survey.Entry {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "format", "testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []struct {
		Key   string
		Value json.RawMessage
	}
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	var text string
	value := []byte(all[0].Value)
	if json.Unmarshal(all[0].Value, &text) == nil {
		value = []byte(text)
	}
	return survey.Entry{Key: all[0].Key, Value: value}
}

func TestEachFormatIsToldFromTheOthers(t *testing.T) {
	for name, want := range map[string]string{
		"curator": "", "serverset": "", "kratos": "", "micro": "", "kitex-etcd": "", "kitex-zk": "", "naming": "", "nerve": "", "dubbo": "", "rpcx": "",
		"goframe-zk": "", "patroni": "", "kafka": "", "solr": "", "hbase": "", "clickhouse": "", "shallow-party": "", "value": "", "name": "",
		"hertz-etcd": "kitex-etcd", "hertz-zk": "kitex-zk", "go-kit": "value", "go-zero": "value",
	} {
		if want == "" {
			want = name
		}
		other, err := format.Named("consul") // to which all are foreign
		if err != nil {
			t.Fatal(err)
		}
		if got := survey.Describe(other, "/svc", 1, []survey.Entry{golden(t, name)}); got != "0 of 1 entries are servers in format consul; 1 look like "+want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestWrongFormatIsNamedTogetherWithTheRightOne(t *testing.T) {
	f, err := format.Named("kratos:grpc")
	if err != nil {
		t.Fatal(err)
	}
	rpcx, curator := golden(t, "rpcx"), golden(t, "curator")
	other := survey.Entry{Key: "lock", Value: []byte("x")}
	disabled := survey.Entry{Key: "a", Value: []byte(`{"id":"a","name":"other","endpoints":["grpc://h:1"]}`)}
	for want, c := range map[string]struct {
		total   int
		entries []survey.Entry
	}{
		"0 of 3 entries are servers in format kratos:grpc; 2 look like rpcx; 1 look like curator":               {3, []survey.Entry{rpcx, curator, rpcx}},
		"0 of 1 entries are servers in format kratos:grpc":                                                      {1, []survey.Entry{other}},
		"0 of 1 entries are servers in format kratos:grpc; 1 take no calls, or are of something else":           {1, []survey.Entry{disabled}},
		"of 900 entries, the first 1 were looked at, and 0 are servers in format kratos:grpc; 1 look like rpcx": {900, []survey.Entry{rpcx}},
	} {
		if got := survey.Describe(f, "/microservices/svc", c.total, c.entries); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	huge := survey.Entry{Key: strings.Repeat("k", 1<<20), Value: []byte(strings.Repeat("{", 1<<20))}
	if got := survey.Describe(f, "/svc", 1, []survey.Entry{huge}); len(got) > 200 {
		t.Errorf("a huge entry is described in %d bytes", len(got))
	}
}
