package format

import (
	"errors"
	"maps"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/internal/brief"
)

// dubboWeight is the weight of a provider that names none.
const dubboWeight = 100

// Dubbo is "dubbo", the layout of Apache Dubbo 2: the key is the provider's
// URL, percent-encoded, and the value does not count. The URL's parameters
// become attributes. "scheme" is the protocol, if it is not dubbo; with
// "dubbo:tri" only the providers of the protocol tri count. Providers that are
// disabled are left out, like entries that are no providers, and those with the
// weight 0 beside others.
//
//	/dubbo/<interface>/providers/dubbo%3A%2F%2F10.0.0.1%3A20880%2F<interface>%3Fweight%3D100%26group%3Da
func Dubbo(protocol string) Format {
	decode := func(key string, _ []byte) ([]discovery.Endpoint, error) {
		eps, err := decodeDubbo(key)
		return ofScheme(protocol, "dubbo", eps), err
	}
	encode := func(p string, e discovery.Endpoint) (string, []byte, error) { return encodeDubbo(p, e, protocol) }
	f := wrap("dubbo", decode, encode)
	f.NamesOnly = true
	f.Select = levelZero
	return f
}

func decodeDubbo(key string) ([]discovery.Endpoint, error) {
	full, err := url.QueryUnescape(last(key))
	if err != nil {
		return nil, errors.New("the name is not percent-encoded")
	}
	scheme, rest, ok := strings.Cut(full, "://")
	switch {
	case !ok || scheme == "":
		return nil, errors.New("the name is not a URL")
	case slices.Contains([]string{"consumer", "override", "absent", "route", "condition", "empty", "admin"}, scheme):
		return nil, nil
	}
	rest, query, _ := strings.Cut(rest, "?")
	attrs := texts{}
	for pair := range strings.SplitSeq(query, "&") {
		// Parameters are encoded once, together with the whole.
		if k, v, _ := strings.Cut(pair, "="); k != "" {
			attrs[k] = v
		}
	}
	if attrs["enabled"] == "false" || attrs["disabled"] == "true" {
		return nil, nil
	}
	if category := attrs["category"]; category != "" && category != "providers" {
		return nil, nil
	}
	host, _, _ := strings.Cut(rest, "/")
	e, err := at(host[strings.LastIndexByte(host, '@')+1:])
	if err != nil {
		return nil, err
	}
	attrs.takeZone(&e)
	attrs.takeWholeWeight(&e, dubboWeight)
	delete(attrs, "scheme")
	if scheme != "dubbo" {
		attrs["scheme"] = scheme
	}
	attrs.to(&e)
	return []discovery.Endpoint{e}, nil
}

func encodeDubbo(p string, e discovery.Endpoint, protocol string) (string, []byte, error) {
	attrs, err := metadata(e, dubboWeight)
	if err != nil {
		return "", nil, err
	}
	host, port, err := splitAddr(e)
	if err != nil {
		return "", nil, err
	}
	iface := path.Base(p)
	if iface == "providers" {
		iface = path.Base(path.Dir(p))
	}
	scheme := attrs.take("scheme")
	switch {
	case protocol != "":
		scheme = protocol
	case scheme == "":
		scheme = "dubbo"
	}
	var b strings.Builder
	b.WriteString(scheme + "://" + hostPort(host, port) + "/" + iface)
	sep := "?"
	for _, k := range slices.Sorted(maps.Keys(attrs)) {
		b.WriteString(sep + k + "=" + attrs[k])
		sep = "&"
	}
	key := url.QueryEscape(b.String())
	// What has no place in such a URL is told by reading it.
	if got, err := Dubbo(protocol).Decode(key, nil); err != nil || len(got) != 1 || !same(got[0], e) {
		return "", nil, lacks("such attributes: " + strconv.Quote(brief.Clip(b.String())))
	}
	return key, nil, nil
}

// same is Equal, but for weight 0, which may be read as 1.
func same(a, b discovery.Endpoint) bool {
	for _, e := range []*discovery.Endpoint{&a, &b} {
		if e.Weight == 0 {
			e.Weight = 1
		}
	}
	return a.Equal(b)
}
