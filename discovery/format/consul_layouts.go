package format

import (
	"bytes"
	"cmp"
	"compress/zlib"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/internal/brief"
)

// consulLayout is how a framework uses an instance of Consul.
type consulLayout struct {
	// read completes e, which has the address and Consul's weight, and attrs, which are
	// the metadata. It returns false if e takes no calls.
	read func(c *ConsulEntry, e *discovery.Endpoint, attrs texts) bool
	// instance, if it is not nil, is in place of all that: an instance may have several
	// addresses.
	instance func(c *ConsulEntry, attrs texts) ([]discovery.Endpoint, error)
	// write completes s, which has the address, weight 1 and attrs as its metadata.
	write func(s *ConsulService, e discovery.Endpoint, attrs texts) error
	// relative means that weight 0 is, see levelZero.
	relative bool
}

// consulLayoutNames are those of [Consul].
func consulLayoutNames() []string { return []string{"kratos", "kitex", "hertz", "micro", "goframe"} }

func consulLayoutOf(layout string) (consulLayout, bool) {
	name, variant, varied := strings.Cut(layout, ":")
	if varied && (name != "kratos" || variant == "") {
		return consulLayout{}, false
	}
	switch name {
	case "":
		return plainConsul(), true
	case "kratos":
		return kratosConsul(variant), true
	case "kitex", "hertz":
		return kitexConsul(), true
	case "micro":
		return microConsul(), true
	case "goframe":
		return goframeConsul(), true
	default:
		return consulLayout{}, false
	}
}

func plainConsul() consulLayout {
	return consulLayout{
		read: func(c *ConsulEntry, _ *discovery.Endpoint, attrs texts) bool {
			if tags := joinTags(c.Service.Tags); tags != "" {
				attrs["tags"] = tags
			}
			return true
		},
		write: func(s *ConsulService, e discovery.Endpoint, attrs texts) (err error) {
			if s.Weights.Passing, err = consulWeight(e, 1); err != nil {
				return err
			}
			tags, ok := attrs["tags"]
			if ok && tags == "" {
				return lacks("tags that are empty")
			}
			if ok {
				s.Tags = splitTags(attrs.take("tags"))
			}
			putZone(attrs, e)
			return nil
		},
	}
}

// joinTags joins tags by commas. If one of them has a comma, or what is joined would look
// like the other way to write them, they are a JSON array.
func joinTags(tags []string) string {
	joined := strings.Join(tags, ",")
	if slices.ContainsFunc(tags, func(tag string) bool { return strings.Contains(tag, ",") }) || strings.HasPrefix(joined, "[") {
		array, err := json.Marshal(tags)
		if err == nil {
			return string(array)
		}
	}
	return joined
}

func splitTags(tags string) []string {
	var array []string
	if strings.HasPrefix(tags, "[") && json.Unmarshal([]byte(tags), &array) == nil {
		return array
	}
	return strings.Split(tags, ",")
}

func putZone(attrs texts, e discovery.Endpoint) {
	if e.Zone != "" {
		attrs["zone"] = e.Zone
	}
}

// consulWeight is the weight in units, at most what Consul's answers of DNS hold.
func consulWeight(e discovery.Endpoint, unit float64) (int, error) {
	w, err := wholeWeight(e, unit)
	if err == nil && w > math.MaxUint16 {
		err = lacks(fmt.Sprintf("the weight %v, only up to %v", e.Weight, math.MaxUint16/unit))
	}
	return w, err
}

func kitexConsul() consulLayout {
	return consulLayout{
		read: func(c *ConsulEntry, e *discovery.Endpoint, attrs texts) bool {
			for _, tag := range c.Service.Tags {
				name, value, _ := strings.Cut(tag, ":")
				attrs[name] = value
			}
			e.Weight /= kitexWeight
			return true
		},
		write: func(s *ConsulService, e discovery.Endpoint, attrs texts) (err error) {
			if s.Weights.Passing, err = consulWeight(e, kitexWeight); err != nil {
				return err
			}
			s.Weights.Warning, s.Meta = s.Weights.Passing, nil
			putZone(attrs, e)
			for _, name := range slices.Sorted(maps.Keys(attrs)) {
				s.Tags = append(s.Tags, name+":"+attrs[name])
			}
			return nil
		},
	}
}

func kratosConsul(scheme string) consulLayout {
	const version = "version="
	return consulLayout{
		relative: true,
		instance: func(c *ConsulEntry, attrs texts) ([]discovery.Endpoint, error) {
			k := kratos{Metadata: attrs}
			for _, tag := range c.Service.Tags {
				if v, ok := strings.CutPrefix(tag, version); ok {
					k.Version = v
				}
			}
			for _, name := range slices.Sorted(maps.Keys(c.Service.TaggedAddresses)) {
				if a := c.Service.TaggedAddresses[name].Address; strings.Contains(a, "://") { // not one of Consul's own
					k.Endpoints = append(k.Endpoints, a)
				}
			}
			if len(k.Endpoints) == 0 { // as Kratos takes an instance of others
				addr, err := c.addr()
				if err != nil {
					return nil, err
				}
				k.Endpoints = []string{"http://" + addr}
			}
			eps, err := k.endpoints()
			eps = ofScheme(scheme, "grpc", eps)
			if l := c.Service.Locality; l != nil && l.Zone != "" {
				for i := range eps {
					eps[i].Zone = l.Zone
				}
			}
			return eps, err
		},
		write: func(s *ConsulService, e discovery.Endpoint, _ texts) error {
			k, err := kratosOf(s.Name, e, scheme)
			if err != nil {
				return err
			}
			protocol, _, _ := strings.Cut(k.Endpoints[0], "://")
			s.Tags, s.Meta = []string{version + k.Version}, k.Metadata
			s.TaggedAddresses = map[string]ConsulAddress{protocol: {Address: k.Endpoints[0], Port: s.Port}}
			return nil
		},
	}
}

// How the tags of go-micro begin that have the version, and one name and value of the
// metadata each, compressed.
const (
	microVersion  = "v-"
	microMetadata = "t-"
)

// isMicroTag reports whether a tag is one of go-micro's: those of the methods begin with e.
func isMicroTag(tag string) bool {
	return len(tag) > 2 && strings.IndexByte("tev", tag[0]) >= 0 && (tag[1] == '-' || tag[1] == '=')
}

func microConsul() consulLayout {
	return consulLayout{
		read: func(c *ConsulEntry, e *discovery.Endpoint, attrs texts) bool {
			var others []string
			for _, tag := range c.Service.Tags {
				if v, ok := strings.CutPrefix(tag, microVersion); ok {
					if v = inflate(v); v != "" && v != microLatest {
						attrs["version"] = v
					}
				} else if !isMicroTag(tag) {
					others = append(others, tag)
				}
			}
			if tags := joinTags(others); tags != "" {
				attrs["tags"] = tags
			}
			e.Weight = 0
			return attrs.takeWeight(e)
		},
		write: func(s *ConsulService, e discovery.Endpoint, _ texts) error {
			attrs, err := metadata(e, 1)
			if err != nil {
				return err
			}
			version := cmp.Or(attrs.take("version"), microLatest)
			for _, name := range slices.Sorted(maps.Keys(attrs)) { // go-micro writes metadata twice, and reads this
				pair, err := json.Marshal(map[string]string{name: attrs[name]})
				if err != nil {
					return err
				}
				s.Tags = append(s.Tags, microMetadata+deflate(string(pair)))
			}
			s.Tags, s.Meta = append(s.Tags, microVersion+deflate(version)), attrs
			return nil
		},
	}
}

// inflate reads what go-micro puts into a tag: hexadecimal digits of what zlib has
// compressed. What is not, or is too long for a version, is empty.
func inflate(s string) string {
	const most = 256
	compressed, err := hex.DecodeString(s)
	if err != nil {
		return ""
	}
	r, err := zlib.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return ""
	}
	plain, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil || len(plain) > most {
		return ""
	}
	return string(plain)
}

func deflate(s string) string {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, err1 := w.Write([]byte(s))
	if errors.Join(err1, w.Close()) != nil { // never, into memory
		return ""
	}
	return hex.EncodeToString(b.Bytes())
}

func goframeConsul() consulLayout {
	return consulLayout{
		read: func(c *ConsulEntry, e *discovery.Endpoint, attrs texts) bool {
			var nested texts
			if raw, ok := attrs["metadata"]; ok && json.Unmarshal([]byte(raw), &nested) == nil {
				delete(attrs, "metadata")
				for k, v := range nested {
					if _, ok := attrs[k]; !ok {
						attrs[k] = v
					}
				}
			}
			if attrs["version"] == goframeLatest {
				delete(attrs, "version")
			}
			e.Weight = 0
			return attrs.takeWeight(e)
		},
		write: func(s *ConsulService, e discovery.Endpoint, _ texts) error {
			attrs, err := metadata(e, 1)
			if err != nil {
				return err
			}
			version := cmp.Or(attrs.take("version"), goframeLatest)
			if strings.Contains(version, "/") { // it would be a part of the ID's path
				return lacks("a version with a slash: " + brief.Clip(version))
			}
			nested, err := json.Marshal(attrs)
			if err != nil {
				return err
			}
			s.ID = s.Name + "-" + version + "-" + s.Address + ":" + strconv.Itoa(s.Port)
			s.Tags, s.Meta = []string{version}, map[string]string{"metadata": string(nested), "version": version}
			return nil
		},
	}
}

// ConsulParam declares a parameter of Consul's URLs that is a layout of [Consul], such as
// "kratos:grpc", or "consul" for none. Other names are those of [Named], for entries of
// the key-value store, such as "rpcx".
func ConsulParam(p *discovery.Params, v *Format, name, doc string) {
	const none = "consul"
	all := append([]string{none}, consulLayoutNames()...)
	for _, n := range Names() {
		if !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	known := strings.Join(all, ", ")
	discovery.Var(p, v, Consul(""), discovery.Param{Name: name, Type: "one of " + known, Default: none, Doc: doc}, func(s string) (Format, error) {
		if s == none {
			return Consul(""), nil
		}
		if f := Consul(s); s != "" && f.Decode != nil {
			return f, nil
		}
		f, err := Named(s)
		if err != nil || strings.HasPrefix(s, none) {
			return f, errors.New("is not one of " + known)
		}
		return f, nil
	})
}
