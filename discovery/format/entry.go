package format

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/internal/brief"
)

// maxValue is the size above which a value is not looked at. Registries
// refuse larger ones by default: ZooKeeper's limit is 1 MiB, etcd's 1.5.
const maxValue = 1 << 20

// last returns the part of key behind the last slash.
func last(key string) string { return key[strings.LastIndexByte(key, '/')+1:] }

// unmarshal is json.Unmarshal for values of a registry.
func unmarshal(value []byte, v any) error {
	if len(value) > maxValue {
		return fmt.Errorf("the value has %d bytes, more than %d", len(value), maxValue)
	}
	if len(bytes.TrimSpace(value)) == 0 {
		return errors.New("the value is empty")
	}
	if err := json.Unmarshal(value, v); err != nil {
		return fmt.Errorf("the value is not as expected: %w", err)
	}
	return nil
}

// at returns an endpoint, if addr can be one.
func at(addr string) (discovery.Endpoint, error) {
	e := discovery.Endpoint{Addr: addr}
	return e, e.Validate()
}

// hostPort joins a host, an IPv6 address with or without brackets, and a port.
func hostPort(host string, port int) string {
	if h, ok := strings.CutPrefix(host, "["); ok {
		host = strings.TrimSuffix(h, "]")
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// splitAddr is the reverse of hostPort, for formats that keep the two apart.
func splitAddr(e discovery.Endpoint) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(e.Addr)
	if err == nil {
		port, err = strconv.Atoi(p)
	}
	if err != nil || hostPort(host, port) != e.Addr {
		return "", 0, lacks("an address other than host and port: " + brief.Clip(e.Addr))
	}
	return host, port, nil
}

// urlAddr returns the address in a URL and its scheme, if that is not the
// usual one, "secure" and path as attributes.
func urlAddr(text, usual string) (discovery.Endpoint, error) {
	u, err := url.Parse(text)
	if err != nil {
		if inner := (*url.Error)(nil); errors.As(err, &inner) {
			err = inner.Err // without the whole text
		}
		return discovery.Endpoint{}, fmt.Errorf("the URL %q: %w", brief.Clip(text), err)
	}
	host := u.Host
	if u.Port() == "" && u.Hostname() != "" {
		switch u.Scheme {
		case "http":
			host = hostPort(u.Hostname(), 80)
		case "https":
			host = hostPort(u.Hostname(), 443)
		}
	}
	e, err := at(host)
	if err != nil {
		return e, fmt.Errorf("the URL %q: %w", brief.Clip(text), err)
	}
	attrs := texts{}
	if u.Scheme != usual {
		attrs["scheme"] = u.Scheme
	}
	if u.Path != "" && u.Path != "/" {
		attrs["path"] = u.Path
	}
	if secure, err := strconv.ParseBool(u.Query().Get("isSecure")); err == nil && secure {
		attrs["secure"] = "true"
	}
	attrs.to(&e)
	return e, nil
}

// texts are metadata: names and texts. A value of another JSON type is read as
// its JSON text, and null as no value.
type texts map[string]string

// UnmarshalJSON reads a JSON object.
func (t *texts) UnmarshalJSON(data []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return errors.New("metadata is not an object")
	}
	if raw == nil {
		return nil
	}
	*t = make(texts, len(raw))
	for k, v := range raw {
		if s, ok := text(v); ok {
			(*t)[k] = s
		}
	}
	return nil
}

// text reads any valid JSON value as a text; null is none.
func text(raw json.RawMessage) (s string, ok bool) {
	switch {
	case len(raw) == 0 || raw[0] == 'n':
		return "", false
	case raw[0] == '"':
		return s, json.Unmarshal(raw, &s) == nil
	}
	var b bytes.Buffer
	err := json.Compact(&b, raw)
	return b.String(), err == nil
}

// to makes t the attributes of e.
func (t texts) to(e *discovery.Endpoint) {
	if len(t) > 0 {
		e.Attrs = t
	}
}

// takeZone moves the zone from t to e.
func (t texts) takeZone(e *discovery.Endpoint) {
	if zone, ok := t["zone"]; ok {
		e.Zone = zone
		delete(t, "zone")
	}
}

// takeWeight moves the weight from t to e, in a format that has no weights of its
// own. It returns false when the weight says that e takes no calls. What is not a
// weight stays an attribute.
func (t texts) takeWeight(e *discovery.Endpoint) (takesCalls bool) {
	s, ok := t["weight"]
	if !ok {
		return true
	}
	w, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || math.IsNaN(w) || math.IsInf(w, 0) || w < 0 {
		return true
	}
	delete(t, "weight")
	e.Weight = w
	return e.Weight > 0
}

// metadata is the reverse: the attributes of e and, among them, its zone and
// its weight as a whole number of 1/unit, or as it is when unit is 1.
func metadata(e discovery.Endpoint, unit float64) (texts, error) {
	t, err := attributes(e)
	if err != nil {
		return nil, err
	}
	if e.Zone != "" {
		t["zone"] = e.Zone
	}
	switch {
	case e.Weight == 0:
	case unit == 1:
		t["weight"] = strconv.FormatFloat(e.Weight, 'g', -1, 64)
	default:
		w, err := wholeWeight(e, unit)
		if err != nil {
			return nil, err
		}
		t["weight"] = strconv.Itoa(w)
	}
	return t, nil
}

// attributes returns a copy of the attributes of e.
func attributes(e discovery.Endpoint) (texts, error) {
	if err := e.Validate(); err != nil {
		return nil, err
	}
	t := make(texts, len(e.Attrs)+2)
	for k, v := range e.Attrs {
		switch {
		case k == "zone" || k == "weight":
			return nil, lacks("an attribute of the name " + k + ", which is a field of the endpoint")
		case !utf8.ValidString(k) || !utf8.ValidString(v):
			return nil, lacks("the attribute " + strconv.Quote(brief.Clip(k)) + ", which is not text")
		}
		t[k] = v
	}
	return t, nil
}

// wholeWeight returns the weight in whole numbers of 1/unit. It is the reverse of
// takeWholeWeight.
func wholeWeight(e discovery.Endpoint, unit float64) (int, error) {
	if e.Weight == 0 {
		return int(unit), nil
	}
	w := math.Round(e.Weight * unit)
	if w < 1 || w > math.MaxInt32 || w/unit != e.Weight {
		return 0, lacks(fmt.Sprintf("the weight %v, only steps of %v", e.Weight, 1/unit))
	}
	return int(w), nil
}

// take returns the attribute k and removes it.
func (t texts) take(k string) string {
	v := t[k]
	delete(t, k)
	return v
}

// bare checks that e has nothing but its address and what is in allowed.
func bare(e discovery.Endpoint, allowed ...string) error {
	if err := e.Validate(); err != nil {
		return err
	}
	switch attrs := maps.Clone(e.Attrs); {
	case e.Weight != 0:
		return lacks("a weight")
	case e.Zone != "":
		return lacks("a zone")
	default:
		for _, k := range allowed {
			delete(attrs, k)
		}
		if len(attrs) > 0 {
			return lacks("attributes")
		}
		return nil
	}
}

// lacks says what the format has no place for.
func lacks(what string) error {
	return fmt.Errorf("it cannot hold %s (%w)", what, errors.ErrUnsupported)
}

// keyOf is the address as one part of a path.
func keyOf(e discovery.Endpoint) string {
	return strings.NewReplacer("%", "%25", "/", "%2F").Replace(e.Addr)
}

// wrap makes a format of a decoder and an encoder that do not say in their
// errors which format they are of.
// A nil encoder is that of a format that other programs alone write.
func wrap(name string, decode discovery.Decoder, encode Encoder) Format {
	f := Format{
		Name: name,
		Decode: func(key string, value []byte) ([]discovery.Endpoint, error) {
			eps, err := decode(key, value)
			// Zones and attributes are taken as they are: they may be anything.
			eps = slices.DeleteFunc(eps, func(e discovery.Endpoint) bool {
				wrong := e.Validate()
				if wrong != nil {
					err = wrong
				}
				return wrong != nil
			})
			if err != nil {
				return eps, fmt.Errorf("format: %s: %w", name, err)
			}
			return eps, nil
		},
	}
	if encode == nil {
		return f
	}
	f.Encode = func(path string, e discovery.Endpoint) (string, []byte, error) {
		key, value, err := encode(path, e)
		if err != nil {
			return "", nil, fmt.Errorf("format: %s: %w", name, err)
		}
		return key, value, nil
	}
	return f
}
