// Package format reads and writes servers as other programs keep them in a
// registry: one [Format] for each layout, one file for each family.
//
// What a format says of a server becomes a [core.Endpoint] in the same way
// everywhere:
//
//   - Weight 1 is the format's own default weight, so that an entry without a
//     weight and one with the default are equals. Kratos and Dubbo write 100
//     for it, Kitex 10. An entry whose weight is zero, where the format means
//     "no traffic" by it, gives no endpoint.
//   - Zone is the metadata "zone".
//   - Attrs are the metadata under their own names; values that are no text
//     are kept as JSON. Beside them stand, where a format has them and they
//     are not its default: "scheme" (the protocol of this address), "secure"
//     ("true"), "path" (of a URL), "version", "shard" and "tags" (joined by
//     commas).
//
// Encoders do the reverse: what they write, the decoder of the same format
// reads back as the same endpoint. What a format has no place for is an error
// that matches [errors.ErrUnsupported], never left out.
package format

import (
	"fmt"
	"slices"
	"strings"

	"github.com/minicaptain/multi_connection_pool/core"
)

// Decoder reads one entry of a registry. Only the last part of key counts,
// behind the last slash.
//
// An entry may give several endpoints. One that is foreign to the format, or
// says that it takes no calls, gives none and no error. Endpoints returned
// beside an error are good; the error is about the rest of the entry. Every
// endpoint passes Validate, and no input makes a decoder panic. Decoders keep
// no part of value and are safe for concurrent use.
type Decoder func(key string, value []byte) ([]core.Endpoint, error)

// Encoder writes e as one entry of the service at path, which is the entry's
// parent in the registry; formats that name their service take the name from
// there. The key is the last part of the entry's path, without a slash, and
// the same for the same address. The result depends on nothing else.
type Encoder func(path string, e core.Endpoint) (key string, value []byte, err error)

// Format is one way to keep servers in a registry.
type Format struct {
	// Name is what [Named] was given.
	Name string
	// NamesOnly says that Decode looks at keys only, so that a watcher need
	// not read values: it passes nil.
	NamesOnly bool
	Decode    Decoder
	Encode    Encoder
}

// formats is the table of all formats. Each takes a variant, which may be
// empty, and says whether it knows it.
func formats() []struct {
	name string
	make func(variant string) (Format, bool)
} {
	plain := func(f func() Format) func(string) (Format, bool) {
		return func(variant string) (Format, bool) { return f(), variant == "" }
	}
	varied := func(f func(string) Format) func(string) (Format, bool) {
		return func(variant string) (Format, bool) { return f(variant), true }
	}
	return []struct {
		name string
		make func(variant string) (Format, bool)
	}{
		{"name", plain(Name)},
		{"value", plain(Value)},
		{"serverset", varied(Serverset)},
		{"curator", func(v string) (Format, bool) { return Curator(v == "ssl"), v == "" || v == "ssl" }},
		{"dubbo", varied(Dubbo)},
		{"naming", plain(Naming)},
		{"kratos", varied(Kratos)},
		{"kitex-etcd", plain(KitexEtcd)},
		{"kitex-zk", plain(KitexZK)},
		{"consul", plain(Consul)},
	}
}

// Names lists the formats that [Named] knows.
func Names() []string {
	all := formats()
	names := make([]string, len(all))
	for i, f := range all {
		names[i] = f.name
	}
	return names
}

// Named returns the format with this name. Where an entry may give addresses
// of several protocols, the name may be followed by a colon and the one that
// is wanted: "serverset:http", "curator:ssl", "dubbo:tri", "kratos:grpc".
func Named(name string) (Format, error) {
	family, variant, _ := strings.Cut(name, ":")
	for _, f := range formats() {
		if f.name != family {
			continue
		}
		format, ok := f.make(variant)
		if !ok || strings.HasSuffix(name, ":") {
			return Format{}, fmt.Errorf("format: %q has no variant %q", family, clip(variant))
		}
		format.Name = name
		return format, nil
	}
	return Format{}, fmt.Errorf("format: %q is not known; known are %s", clip(family), strings.Join(Names(), ", "))
}

// ofScheme keeps the endpoints of one protocol and leaves the protocol's name
// out of their attributes, since all have the same.
func ofScheme(scheme, usual string, eps []core.Endpoint) []core.Endpoint {
	if scheme == "" {
		return eps
	}
	eps = slices.DeleteFunc(eps, func(e core.Endpoint) bool {
		s := e.Attrs["scheme"]
		if s == "" {
			s = usual
		}
		return s != scheme
	})
	for i := range eps {
		if delete(eps[i].Attrs, "scheme"); len(eps[i].Attrs) == 0 {
			eps[i].Attrs = nil
		}
	}
	return eps
}
