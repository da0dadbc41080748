// Package format reads and writes servers as other programs keep them in a
// registry: one [Format] for each layout, one file for each family.
//
// What a format says of a server becomes a [discovery.Endpoint] in the same way
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

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// Encoder writes e as one entry of the service at path, which is the entry's
// parent in the registry; formats that name their service take the name from
// there. The key is the last part of the entry's path, without a slash, and
// the same for the same address. The result depends on nothing else.
type Encoder func(path string, e discovery.Endpoint) (key string, value []byte, err error)

// Format is one way to keep servers in a registry.
type Format struct {
	// Name is the name by which [Named] finds the format.
	Name string
	// NamesOnly says that Decode looks at keys only, so that a watcher need
	// not read values: it passes nil.
	NamesOnly bool
	Decode    discovery.Decoder
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
		{"name", plain(PlainKey)},
		{"value", plain(PlainValue)},
		{"serverset", varied(Serverset)},
		{"curator", func(v string) (Format, bool) { return Curator(v == "ssl"), v == "" || v == "ssl" }},
		{"dubbo", varied(Dubbo)},
		{"naming", plain(GRPCNaming)},
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

// Param declares a parameter of a registry's URLs that is the name of a format,
// such as "serverset:http". def must be one that [Named] knows.
func Param(p *discovery.Params, v *Format, name, def, doc string) {
	known := strings.Join(Names(), ", ")
	f, err := Named(def)
	if err != nil {
		panic(err) // a mistake in the plugin, which its every use shows
	}
	discovery.Var(p, v, f, discovery.Param{Name: name, Type: "one of " + known, Default: def, Doc: doc}, func(s string) (Format, error) {
		f, err := Named(s)
		if err != nil {
			return f, fmt.Errorf("is not a format: %w", err)
		}
		return f, nil
	})
}

// ofScheme keeps the endpoints of one protocol and leaves the protocol's name
// out of their attributes, since all have the same.
func ofScheme(scheme, usual string, eps []discovery.Endpoint) []discovery.Endpoint {
	if scheme == "" {
		return eps
	}
	eps = slices.DeleteFunc(eps, func(e discovery.Endpoint) bool {
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
