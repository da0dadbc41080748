package dns

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	typeA    = dnsmessage.TypeA
	typeAAAA = dnsmessage.TypeAAAA
	typeSRV  = dnsmessage.TypeSRV

	// udpSize is the size of an answer that no network has to fragment (DNS Flag
	// Day 2020).
	udpSize = 1232
)

// question is one question, ready to be sent.
type question struct {
	id   uint16
	name string // absolute, in lower case
	kind dnsmessage.Type
	msg  []byte // with two bytes for its length in front
}

// newQuestion returns the question for the records of a name. With edns, it says
// that an answer over UDP may have udpSize bytes.
func newQuestion(name string, kind dnsmessage.Type, edns bool) (question, error) {
	q := question{id: uint16(rand.N(math.MaxUint16 + 1)), name: strings.ToLower(absolute(name)), kind: kind}
	n, err := dnsmessage.NewName(q.name)
	if err != nil {
		return q, err
	}
	b := dnsmessage.NewBuilder(make([]byte, 2, 2+512), dnsmessage.Header{ID: q.id, RecursionDesired: true})
	errs := []error{b.StartQuestions(), b.Question(dnsmessage.Question{Name: n, Type: kind, Class: dnsmessage.ClassINET})}
	if edns {
		var h dnsmessage.ResourceHeader
		errs = append(errs, h.SetEDNS0(udpSize, dnsmessage.RCodeSuccess, false), b.StartAdditionals(), b.OPTResource(h, dnsmessage.OPTResource{}))
	}
	q.msg, err = b.Finish()
	if err = errors.Join(append(errs, err)...); err != nil {
		return q, err
	}
	size := len(q.msg) - 2
	q.msg[0], q.msg[1] = byte(size>>8), byte(size)
	return q, nil
}

// answer is what a server says to one question.
type answer struct {
	code dnsmessage.RCode
	cut  bool // records are missing, and it says so
	lame bool // the server refers to others: it neither has the zone nor looks elsewhere
	// records are of the type and the name in question, or of the name that it is
	// an alias of. alias is that name, or the name in question.
	records []record
	alias   string
	bad     []error                 // records that cannot be read
	extra   map[string][]netip.Addr // addresses of other names, that the answer has beside
	// ttl is the smallest of what was used, or how long there will be no record.
	ttl time.Duration
}

// record is one record: an address, or the rest.
type record struct {
	ip                     netip.Addr
	priority, weight, port uint16
	target                 string // absolute, in lower case
}

// errForeign is the error of a message that does not answer the question.
var errForeign = errors.New("the message does not answer the question")

// parse reads an answer to q. Records that cannot be read do not cost the others.
func (q question) parse(msg []byte) (answer, error) {
	a := answer{alias: q.name, ttl: -1}
	var p dnsmessage.Parser
	h, err := p.Start(msg)
	if err != nil {
		return a, err
	}
	asked, err := p.Question()
	switch {
	case h.ID != q.id || !h.Response:
		return a, errForeign
	case errors.Is(err, dnsmessage.ErrSectionDone) && h.RCode != dnsmessage.RCodeSuccess:
		// Servers that cannot read the question do not repeat it.
	case err != nil:
		return a, err
	case lower(asked.Name) != q.name || asked.Type != q.kind || asked.Class != dnsmessage.ClassINET:
		return a, errForeign
	}
	a.code, a.cut = h.RCode, h.Truncated
	if a.code != dnsmessage.RCodeSuccess && a.code != dnsmessage.RCodeNameError {
		return a, nil
	}
	if err := p.SkipAllQuestions(); err != nil {
		return a, err
	}
	if err := a.answers(&p, q.kind); err != nil {
		if a.cut { // somewhere in a record
			return a, nil
		}
		return a, fmt.Errorf("the answer: %w", err)
	}
	if a.cut {
		return a, nil
	}
	certain, err := a.authorities(&p)
	if err != nil {
		return a, fmt.Errorf("the authority section: %w", err)
	}
	// As in Go's resolver, but that an SOA record is a sign of one that knows.
	a.lame = a.code == dnsmessage.RCodeSuccess && !h.Authoritative && !h.RecursionAvailable && len(a.records)+len(a.bad) == 0 && a.alias == q.name && !certain
	if q.kind == typeSRV {
		if err := a.additionals(&p); err != nil {
			return a, fmt.Errorf("the additional section: %w", err)
		}
	}
	return a, nil
}

// found is a record of the answer section.
type found struct {
	record

	ttl uint32
	err error // it cannot be read
}

// answers reads the records, which are in any order, and then follows the aliases.
func (a *answer) answers(p *dnsmessage.Parser, kind dnsmessage.Type) error {
	byName := map[string][]found{}
	aliases := map[string]found{}
	for {
		h, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			break
		}
		if err != nil {
			return err
		}
		if h.Class == dnsmessage.ClassINET && (h.Type == kind || h.Type == dnsmessage.TypeCNAME) {
			f := found{ttl: h.TTL}
			f.record, f.err = read(*p, h.Type)
			if name := lower(h.Name); h.Type == dnsmessage.TypeCNAME {
				aliases[name] = f
			} else {
				byName[name] = append(byName[name], f)
			}
		}
		if err := p.SkipAnswer(); err != nil {
			return err
		}
	}
	for range len(aliases) {
		f, ok := aliases[a.alias]
		if !ok {
			break
		}
		if a.mind(f.ttl); f.err != nil {
			return f.err
		}
		a.alias = f.target
	}
	for _, f := range byName[a.alias] {
		if a.mind(f.ttl); f.err != nil {
			a.bad = append(a.bad, fmt.Errorf("a record %s of %s cannot be read: %w", kindName(kind), a.alias, f.err))
		} else {
			a.records = append(a.records, f.record)
		}
	}
	return nil
}

// read reads the record whose header was read, with a copy of the parser.
func read(p dnsmessage.Parser, kind dnsmessage.Type) (record, error) {
	if err := fits(p, kind); err != nil {
		return record{}, err
	}
	switch kind {
	case dnsmessage.TypeCNAME:
		r, err := p.CNAMEResource()
		return record{target: lower(r.CNAME)}, err
	case typeSRV:
		r, err := p.SRVResource()
		return record{priority: r.Priority, weight: r.Weight, port: r.Port, target: lower(r.Target)}, err
	case typeA:
		r, err := p.AResource()
		return record{ip: netip.AddrFrom4(r.A)}, err
	default:
		r, err := p.AAAAResource()
		return record{ip: netip.AddrFrom16(r.AAAA).Unmap()}, err
	}
}

// authorities takes the time for which a name or its records do not exist
// (RFC 2308, 5), and reports whether there was one.
func (a *answer) authorities(p *dnsmessage.Parser) (certain bool, err error) {
	for {
		h, err := p.AuthorityHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return certain, nil
		}
		if err != nil {
			return false, err
		}
		if h.Type == dnsmessage.TypeSOA && len(a.records) == 0 {
			if soa, err := p.SOAResource(); err == nil {
				a.mind(min(h.TTL, soa.MinTTL))
				certain = true
				continue
			}
		}
		if err := p.SkipAuthority(); err != nil {
			return false, err
		}
	}
}

// additionals takes the addresses of targets.
func (a *answer) additionals(p *dnsmessage.Parser) error {
	targets := make(map[string]bool, len(a.records))
	for _, r := range a.records {
		targets[r.target] = true
	}
	for {
		h, err := p.AdditionalHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return nil
		}
		if err != nil {
			return err
		}
		if name := lower(h.Name); (h.Type == typeA || h.Type == typeAAAA) && h.Class == dnsmessage.ClassINET && targets[name] {
			if r, err := read(*p, h.Type); err == nil {
				if a.extra == nil {
					a.extra = make(map[string][]netip.Addr, len(targets))
				}
				a.extra[name] = append(a.extra[name], r.ip)
				a.mind(h.TTL)
			}
		}
		if err := p.SkipAdditional(); err != nil {
			return err
		}
	}
}

// mind notes the TTL of a record that was used. One with the highest bit set
// counts as zero (RFC 2181, 8).
func (a *answer) mind(seconds uint32) {
	ttl := time.Duration(seconds) * time.Second
	if seconds > math.MaxInt32 {
		ttl = 0
	}
	a.ttl = shorter(a.ttl, ttl)
}

// shorter returns the smaller of two times, of which those below zero are unknown.
func shorter(a, b time.Duration) time.Duration {
	if a < 0 || b >= 0 && b < a {
		return b
	}
	return a
}

// fits returns an error if the data of a record is not as long as its type wants:
// the parser would read on, in the next record.
func fits(p dnsmessage.Parser, kind dnsmessage.Type) error {
	r, err := p.UnknownResource() // of a copy of the parser
	if err != nil {
		return err
	}
	ok := false
	switch data := r.Data; kind {
	case typeA:
		ok = len(data) == 4
	case typeAAAA:
		ok = len(data) == 16
	case typeSRV:
		ok = len(data) > 6 && isName(data[6:])
	default:
		ok = isName(data)
	}
	if !ok {
		return fmt.Errorf("its data of %d bytes is malformed", len(r.Data))
	}
	return nil
}

// isName reports whether data is one name, perhaps with a pointer at its end, and
// nothing else (RFC 1035, 4.1.4).
func isName(data []byte) bool {
	for len(data) > 0 {
		switch n := int(data[0]); {
		case n == 0:
			return len(data) == 1
		case n >= 0xC0:
			return len(data) == 2
		case n >= len(data):
			return false
		default:
			data = data[1+n:]
		}
	}
	return false
}

func absolute(name string) string { return strings.TrimSuffix(name, ".") + "." }

func lower(n dnsmessage.Name) string { return strings.ToLower(n.String()) }

// kindName returns "SRV" for TypeSRV.
func kindName(kind dnsmessage.Type) string { return strings.TrimPrefix(kind.String(), "Type") }
