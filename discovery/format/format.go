// Package format reads and writes servers as other programs keep them in a
// registry: one [Format] for each layout, one file for each family. By the name of
// [Named], which is that of the URL parameter format:
//
//	name          this library and its first version; any name that is an address
//	value         any value that is an address: go-kit, go-zero (names of it, too), parties of kazoo
//	serverset     Finagle, Aurora; serverset:http for an additional endpoint
//	shallow-party kazoo's ShallowParty
//	nerve         Airbnb's Nerve and Synapse
//	curator       Apache Curator; curator:spring, Spring Cloud ZooKeeper; curator:dubbo, Dubbo 3 by
//	              application; curator:ssl, ports of TLS
//	dubbo         Dubbo by interface; dubbo:tri for a protocol
//	naming        etcd's gRPC naming
//	kratos        go-kratos; kratos:grpc for a protocol
//	kitex-etcd    CloudWeGo Kitex in etcd; hertz-etcd, Hertz
//	kitex-zk      CloudWeGo Kitex in ZooKeeper; hertz-zk, Hertz
//	micro         go-micro in etcd
//	rpcx          rpcx in ZooKeeper, etcd and Consul's key-value store; rpcx:quic for a network
//	goframe-etcd  GoFrame in etcd
//	goframe-zk    GoFrame in ZooKeeper
//	patroni       members of a Patroni cluster; to read
//	kafka         brokers of Kafka; kafka:SSL for a listener; to read
//	solr          live nodes of SolrCloud; to read
//	hbase         region servers of HBase; to read
//	clickhouse    replicas of a table of ClickHouse in ZooKeeper; to read
//	consul        Consul's own; consul:kratos and others, see [Consul], where Consul's URLs
//	              leave the prefix out
//
// What a format says of a server becomes a [discovery.Endpoint] in the same way
// everywhere:
//
//   - Weight 1 is the format's own default weight, so that an entry without a
//     weight and one with the default are equals. Kratos and Dubbo write 100
//     for it, Kitex 10. In Kratos, Dubbo and rpcx, a server with the weight zero
//     gets nothing beside others, and if all have it, they are equals: alone, Decode
//     gives it the least weight there is, and [Format.Select] decides. In formats
//     that have no weights of their own, weight zero in the metadata means no
//     traffic, and gives no endpoint.
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
	"github.com/minicaptain/multi_connection_pool/internal/brief"
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
	// Decode decodes an entry of any service.
	Decode discovery.Decoder
	// DecodeAt, if it is not nil, returns a decoder to which entries of services other
	// than the one at path are foreign: for a format whose entries name their service,
	// in a registry where one service's path may continue another's.
	DecodeAt func(path string) discovery.Decoder
	// Select, if it is not nil, decides over the whole set what a single entry cannot:
	// see [discovery.Set.Select].
	Select func(set []discovery.Endpoint) []discovery.Endpoint
	// Child and Alive, if they are not empty, name two nodes below an entry's node in
	// ZooKeeper: the value is the data of Child, and nil unless Alive exists. Who changes
	// the data also makes Alive anew. A format that has one has both.
	Child, Alive string
	Encode       Encoder
}

// NewSet returns an empty set of the service at path, as [discovery.NewSet] does with a
// decoder alone.
func (f Format) NewSet(path string, skipped func(key string, err error)) *discovery.Set {
	decode := f.Decode
	if f.DecodeAt != nil {
		decode = f.DecodeAt(path)
	}
	set := discovery.NewSet(decode, skipped)
	set.Select(f.Select)
	return set
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
		{"go-kit", plain(func() Format { return plainValue("go-kit") })},
		{"go-zero", plain(func() Format { return plainValue("go-zero") })},
		{"serverset", varied(Serverset)},
		{"shallow-party", plain(ShallowParty)},
		{"nerve", plain(Nerve)},
		{"curator", func(v string) (Format, bool) { return Curator(v), slices.Contains(curatorVariants(), v) }},
		{"dubbo", varied(Dubbo)},
		{"naming", plain(GRPCNaming)},
		{"kratos", varied(Kratos)},
		{"kitex-etcd", plain(KitexEtcd)},
		{"kitex-zk", plain(KitexZK)},
		{"hertz-etcd", plain(func() Format { return kitexEtcd("hertz-etcd") })},
		{"hertz-zk", plain(func() Format { return kitexZK("hertz-zk") })},
		{"micro", plain(Micro)},
		{"rpcx", varied(Rpcx)},
		{"goframe-etcd", plain(GoframeEtcd)},
		{"goframe-zk", plain(GoframeZK)},
		{"patroni", plain(Patroni)},
		{"kafka", varied(Kafka)},
		{"solr", plain(Solr)},
		{"hbase", plain(HBase)},
		{"clickhouse", plain(ClickHouse)},
		{"consul", func(v string) (Format, bool) { _, ok := consulLayoutOf(v); return Consul(v), ok }},
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
			return Format{}, fmt.Errorf("format: %q has no variant %q", family, brief.Clip(variant))
		}
		format.Name = name
		return format, nil
	}
	return Format{}, fmt.Errorf("format: %q is not known; known are %s", brief.Clip(family), strings.Join(Names(), ", "))
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
