package consul

import (
	"context"
	"errors"
	"hash/maphash"
	"io"
	"slices"

	"github.com/hashicorp/consul/api"
)

// instances reads the instances of a service for one Watch. Consul answers each change
// with all of them, which are about 10 MB for 10,000. So instances recognizes those that
// are as in the last answer by their bytes, and decodes only the others. It keeps hashes
// of the bytes, not the bytes.
type instances struct {
	*watcher

	seed maphash.Seed // random, so that nobody can make two instances with one hash
	last recognized
}

// instance is an instance as the bytes in which Consul describes it.
type instance struct {
	hash uint64
	size int    // in bytes
	node string // the name of its node
	key  string // its node and ID
}

// answer has the entries of an answer.
type answer struct {
	values map[string][]byte // by key
	kept   []string          // keys of instances that are as in the last answer, unless values has them
}

func newInstances(w *watcher) *instances { return &instances{watcher: w, seed: maphash.MakeSeed()} }

// read returns the instances by node and ID. The caller puts them into the set of the
// Watch: read takes it for granted from then on that the set has them.
func (i *instances) read(ctx context.Context, c *client, index uint64) (answer, *api.QueryMeta, error) {
	var (
		a     answer
		all   []instance
		whole bool
	)
	meta, err := i.query(ctx, index, func(options *api.QueryOptions) (meta *api.QueryMeta, err error) { //nolint:contextcheck // options has it
		// Consul 1.10 and later answer a request that waits from their streaming
		// backend, which leaves out, unmarked, what the token may not read, and does
		// not see that an index has gone back. It cannot sort, so a question for
		// the order by distance is answered as by older ones. Nothing is sorted by
		// the distance from a node that there is not.
		options.Near = "-"
		_, meta, err = c.Health().ServiceMultipleTags(i.service, i.tags, i.passing,
			options.WithContext(withBodyReader(options.Context(), func(body io.Reader) (err error) {
				a, all, err = i.decode(body)
				whole = err == nil
				return err
			})))
		return meta, err
	})
	if err == nil && !whole {
		err = errors.New("an answer that nobody has read")
	}
	if err != nil {
		return answer{}, nil, err
	}
	if err := i.checkComplete(ctx, c, nodesOf(all), meta); err != nil {
		return answer{}, nil, err
	}
	i.last = newRecognized(all)
	return a, meta, nil
}

// decode reads the body of an answer. It returns what to change in the set, and all
// instances that the set has the values of then.
func (i *instances) decode(body io.Reader) (answer, []instance, error) {
	a := answer{values: make(map[string][]byte)}
	all := make([]instance, 0, len(i.last.all))
	latest := make(map[string]uint64) // the hash of the last instance of a key, for the keys of new ones
	fresh := make(map[uint64]string)  // the keys of new ones by hash
	list := splitter{from: body}
	for expected := 0; ; {
		more, err := list.next()
		if err != nil {
			return answer{}, nil, err
		}
		if !more {
			break
		}
		one, object, err := i.recognize(&list, &expected)
		if err != nil {
			return answer{}, nil, err
		}
		if object == nil {
			a.kept = append(a.kept, one.key)
			if _, ok := latest[one.key]; ok { // a new one had its key, but the last one counts
				latest[one.key] = one.hash
				delete(a.values, one.key)
			}
		} else {
			// An answer without end that repeats itself must not cost a decode each time.
			if key, ok := fresh[one.hash]; ok && latest[key] == one.hash {
				continue
			}
			var value []byte
			if one.node, one.key, value, err = i.valueOf(object); err != nil {
				return answer{}, nil, err
			}
			fresh[one.hash], latest[one.key] = one.key, one.hash
			a.values[one.key] = value
		}
		all = append(all, one)
	}
	all = slices.DeleteFunc(all, func(one instance) bool {
		hash, ok := latest[one.key]
		return ok && hash != one.hash
	})
	return a, all, nil
}

// recognize passes the next instance. If it is one of the last answer, where expected is
// the first to compare it with, recognize returns that. If not, it returns the bytes too.
func (i *instances) recognize(list *splitter, expected *int) (one instance, object []byte, err error) {
	if *expected < len(i.last.all) {
		one = i.last.all[*expected]
		// Bytes that are those of an object end where it ends.
		if same := list.peek(one.size); same != nil && maphash.Bytes(i.seed, same) == one.hash {
			list.skip(one.size)
			*expected++
			return one, nil, nil
		}
	}
	if object, err = list.object(); err != nil {
		return instance{}, nil, err
	}
	hash := maphash.Bytes(i.seed, object)
	if at, ok := i.last.at[hash]; ok {
		*expected = at + 1
		return i.last.all[at], nil, nil
	}
	return instance{hash: hash, size: len(object)}, object, nil
}

// recognized are the instances of an answer by which those of the next are recognized.
type recognized struct {
	all []instance     // in the order of the answer, in which the next has most of them
	at  map[uint64]int // the position in all, by hash
}

func newRecognized(all []instance) recognized {
	r := recognized{at: make(map[uint64]int, len(all))}
	for _, one := range all {
		if _, twice := r.at[one.hash]; !twice {
			r.at[one.hash] = len(r.all)
			r.all = append(r.all, one)
		}
	}
	return r
}
