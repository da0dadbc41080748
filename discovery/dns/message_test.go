package dns

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// reply packs an answer to q.
func reply(tb testing.TB, q question, change func(*dnsmessage.Message)) []byte {
	tb.Helper()
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: q.id, Response: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(q.name), Type: q.kind, Class: dnsmessage.ClassINET}},
	}
	change(&m)
	msg, err := m.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	return msg
}

func resource(name string, ttl uint32, body dnsmessage.ResourceBody) dnsmessage.Resource {
	return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Class: dnsmessage.ClassINET, TTL: ttl}, Body: body}
}

func ask(tb testing.TB, name string, kind dnsmessage.Type) question {
	tb.Helper()
	q, err := newQuestion(name, kind, true)
	if err != nil {
		tb.Fatal(err)
	}
	return q
}

func service(target string) *dnsmessage.SRVResource {
	return &dnsmessage.SRVResource{Weight: 1, Port: 80, Target: dnsmessage.MustNewName(target)}
}

// TestSRVRecordThatCannotBeReadDoesNotCostTheOthers has records that are too short,
// which no server of today sends.
func TestSRVRecordThatCannotBeReadDoesNotCostTheOthers(t *testing.T) {
	q := ask(t, "_s._tcp.test", typeSRV)
	short := resource(q.name, 5, &dnsmessage.UnknownResource{Type: typeSRV, Data: []byte{0, 0, 0}})
	open := resource(q.name, 5, &dnsmessage.UnknownResource{Type: typeSRV, Data: []byte{0, 0, 0, 1, 0, 80, 4, 'a'}})
	a, err := q.parse(reply(t, q, func(m *dnsmessage.Message) {
		m.Answers = []dnsmessage.Resource{short, resource("_S._TCP.test.", 9, service("A.test.")), open, short}
		m.Additionals = []dnsmessage.Resource{resource("a.TEST.", 3, &dnsmessage.AResource{A: [4]byte{10, 0, 0, 1}}), resource("b.test.", 1, &dnsmessage.AResource{})}
	}))
	if err != nil || len(a.records) != 1 || a.records[0].target != "a.test." || len(a.bad) != 3 || a.ttl != 3*time.Second ||
		len(a.extra) != 1 || a.extra["a.test."][0].String() != "10.0.0.1" {
		t.Errorf("got %+v, error %v", a, err)
	}
	if !strings.Contains(errors.Join(a.bad...).Error(), "SRV of _s._tcp.test.") {
		t.Errorf("the bad ones are %v", a.bad)
	}
}

func TestMessagesThatDoNotAnswerTheQuestionAreForeign(t *testing.T) {
	q := ask(t, "a.test", typeA)
	for name, change := range map[string]func(*dnsmessage.Message){
		"another ID":      func(m *dnsmessage.Message) { m.ID++ },
		"a question":      func(m *dnsmessage.Message) { m.Response = false },
		"another name":    func(m *dnsmessage.Message) { m.Questions[0].Name = dnsmessage.MustNewName("b.test.") },
		"another type":    func(m *dnsmessage.Message) { m.Questions[0].Type = typeSRV },
		"another refusal": func(m *dnsmessage.Message) { m.ID, m.RCode, m.Questions = m.ID+1, dnsmessage.RCodeRefused, nil },
	} {
		if _, err := q.parse(reply(t, q, change)); !errors.Is(err, errForeign) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := q.parse(reply(t, q, func(m *dnsmessage.Message) { m.Questions = nil })); err == nil {
		t.Error("an answer to nothing was taken")
	}
	a, err := q.parse(reply(t, q, func(m *dnsmessage.Message) { m.RCode, m.Questions = dnsmessage.RCodeFormatError, nil }))
	if err != nil || a.code != dnsmessage.RCodeFormatError {
		t.Errorf("got %v, error %v", a.code, err)
	}
}

func TestOnlyRecordsOfTheNameAndItsAliasesCount(t *testing.T) {
	q := ask(t, "A.test", typeA)
	at := func(name string, last byte) dnsmessage.Resource {
		return resource(name, 60, &dnsmessage.AResource{A: [4]byte{10, 0, 0, last}})
	}
	a, err := q.parse(reply(t, q, func(m *dnsmessage.Message) {
		m.Answers = []dnsmessage.Resource{
			at("other.test.", 1), at("a.test.", 2), at("c.test.", 3), // an alias may come behind what it stands for
			resource("b.test.", 9, &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName("c.test.")}),
			resource("a.test.", 7, &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName("B.test.")}),
		}
	}))
	if err != nil || len(a.records) != 1 || a.records[0].ip.String() != "10.0.0.3" || a.ttl != 7*time.Second {
		t.Errorf("got %+v, error %v", a, err)
	}
}

func TestAliasesInACircleEnd(t *testing.T) {
	q := ask(t, "a.test", typeA)
	a, err := q.parse(reply(t, q, func(m *dnsmessage.Message) {
		m.Answers = []dnsmessage.Resource{
			resource("a.test.", 1, &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName("b.test.")}),
			resource("b.test.", 1, &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName("a.test.")}),
		}
	}))
	if err != nil || len(a.records) != 0 {
		t.Errorf("got %+v, error %v", a, err)
	}
}

// A server that lost the zone, or has it delegated, refers to others; one that knows that there
// is nothing is authoritative, looks elsewhere itself, or has the zone's SOA record.
func TestAReferralIsNoAnswer(t *testing.T) {
	q := ask(t, "a.test", typeA)
	up := resource(".", 5, &dnsmessage.NSResource{NS: dnsmessage.MustNewName("ns.example.")})
	soa := resource("test.", 5, &dnsmessage.SOAResource{NS: dnsmessage.MustNewName("ns."), MBox: dnsmessage.MustNewName("m.")})
	for name, c := range map[string]struct {
		change func(*dnsmessage.Message)
		lame   bool
	}{
		"a referral":     {func(m *dnsmessage.Message) { m.Authorities = []dnsmessage.Resource{up} }, true},
		"nothing at all": {func(*dnsmessage.Message) {}, true},
		"authoritative":  {func(m *dnsmessage.Message) { m.Authoritative = true }, false},
		"recursive":      {func(m *dnsmessage.Message) { m.RecursionAvailable = true }, false},
		"with the SOA":   {func(m *dnsmessage.Message) { m.Authorities = []dnsmessage.Resource{soa} }, false},
		"no such name":   {func(m *dnsmessage.Message) { m.RCode = dnsmessage.RCodeNameError }, false},
		"an answer": {func(m *dnsmessage.Message) {
			m.Answers = []dnsmessage.Resource{resource("a.test.", 5, &dnsmessage.AResource{})}
		}, false},
		"an alias elsewhere": {func(m *dnsmessage.Message) {
			m.Answers = []dnsmessage.Resource{resource("a.test.", 5, &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName("b.example.")})}
		}, false},
	} {
		if a, err := q.parse(reply(t, q, c.change)); err != nil || a.lame != c.lame {
			t.Errorf("%s: lame %t, error %v", name, a.lame, err)
		}
	}
}

func TestTTLOfNothingIsThatOfTheZone(t *testing.T) {
	q := ask(t, "a.test", typeA)
	soa := &dnsmessage.SOAResource{NS: dnsmessage.MustNewName("ns."), MBox: dnsmessage.MustNewName("m."), MinTTL: 30}
	for ttl, want := range map[uint32]time.Duration{10: 10 * time.Second, 60: 30 * time.Second} {
		a, err := q.parse(reply(t, q, func(m *dnsmessage.Message) {
			m.RCode, m.Authorities = dnsmessage.RCodeNameError, []dnsmessage.Resource{resource("test.", ttl, soa)}
		}))
		if err != nil || a.ttl != want {
			t.Errorf("got %v, error %v, want %v", a.ttl, err, want)
		}
	}
	w := &watcher{config: newConfig(nil, "a:1", nil)}
	for ttl, want := range map[time.Duration]time.Duration{-1: time.Second, 0: time.Second, 10 * time.Second: 10 * time.Second, time.Hour: time.Minute} {
		if got := w.pause(ttl); got < want || got > want+want/10 {
			t.Errorf("the pause for a TTL of %v is %v", ttl, got)
		}
	}
}

func TestResolvConfIsReadAsTheSystemDoes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	for text, want := range map[string]struct {
		servers []string
		name    string
		names   []string
	}{
		"nameserver 10.0.0.1\nnameserver nonsense\nnameserver fe80::1%eth0\nsearch a.test B.test.\n": {
			[]string{"10.0.0.1:53", "[fe80::1%eth0]:53"}, "x", []string{"x.a.test.", "x.b.test.", "x."},
		},
		"# nameserver 1.1.1.1\n;x\nsearch a\ndomain b\noptions rotate ndots:2\n": {
			[]string{"127.0.0.1:53", "[::1]:53"}, "x.y", []string{"x.y.b.", "x.y."},
		},
		"search a\noptions ndots:99\n":         {[]string{"127.0.0.1:53", "[::1]:53"}, "1.2.3", []string{"1.2.3.a.", "1.2.3."}},
		"search a\n":                           {[]string{"127.0.0.1:53", "[::1]:53"}, "x.y", []string{"x.y.", "x.y.a."}},
		"search .\noptions ndots:-1":           {[]string{"127.0.0.1:53", "[::1]:53"}, "x", []string{"x."}},
		"search a " + strings.Repeat("b", 300): {[]string{"127.0.0.1:53", "[::1]:53"}, "x.", []string{"x."}},
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r := readResolvConf(file)
		if got := r.names(want.name); !slices.Equal(r.servers, want.servers) || !slices.Equal(got, want.names) {
			t.Errorf("%q: servers %q, names %q", text, r.servers, got)
		}
	}
	if r := readResolvConf(filepath.Join(t.TempDir(), "none")); !slices.Equal(r.servers, []string{"127.0.0.1:53", "[::1]:53"}) || r.ndots != 1 {
		t.Errorf("without a file: %+v", r)
	}
}

func FuzzParse(f *testing.F) {
	for _, kind := range []dnsmessage.Type{typeA, typeAAAA, typeSRV} {
		q := question{id: 1, name: "a.test.", kind: kind}
		f.Add(uint16(kind), reply(f, q, func(m *dnsmessage.Message) {
			m.Answers = []dnsmessage.Resource{
				resource("a.test.", 1, service("b.test.")), resource("a.test.", 1, &dnsmessage.AResource{}), resource("a.test.", 1, &dnsmessage.AAAAResource{}),
			}
			m.Additionals = []dnsmessage.Resource{resource("b.test.", 1, &dnsmessage.AResource{})}
		}))
	}
	f.Fuzz(func(t *testing.T, kind uint16, msg []byte) {
		q := question{id: 1, name: "a.test.", kind: dnsmessage.Type(kind)}
		a, err := q.parse(msg)
		if err != nil {
			return
		}
		for _, r := range a.records {
			if q.kind != typeSRV && !r.ip.IsValid() {
				t.Errorf("a record without an address: %+v", r)
			}
		}
	})
}
