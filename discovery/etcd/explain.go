package etcd

import (
	"context"
	"fmt"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/minicaptain/multi_connection_pool/discovery/internal/survey"
)

// explain returns what is at and beside a prefix without a server, nil if there is
// nothing. What the user may not read is not there.
func (v *view) explain(ctx context.Context) error {
	if n := v.set.Len(); n > 0 {
		sample, _ := v.sample(ctx, v.prefix)
		path := strings.TrimSuffix(v.prefix, "/")
		if len(sample) == 0 || survey.Servers(v.format, path, sample) > 0 { // they are not admitted
			return nil
		}
		return fmt.Errorf("etcd: below %q: %s", v.prefix, survey.Describe(v.format, path, n, sample))
	}
	// Half of the programs begin their keys with a slash.
	other, how := "/"+v.prefix, "with a slash in front"
	if bare, ok := strings.CutPrefix(v.prefix, "/"); ok {
		other, how = bare, "without the slash in front"
	}
	if sample, total := v.sample(ctx, other); len(sample) > 0 {
		return fmt.Errorf("etcd: nothing is below %q; below %q, %s: %s", v.prefix, other, how,
			survey.Describe(v.format, strings.TrimSuffix(other, "/"), total, sample))
	}
	path := strings.TrimSuffix(v.prefix, "/")
	above := path[:strings.LastIndexByte(path, '/')+1]
	if strings.Trim(above, "/") == "" { // all that etcd has
		return nil
	}
	if sample, total := v.sample(ctx, above); survey.Servers(v.format, strings.TrimSuffix(above, "/"), sample) > 0 {
		return fmt.Errorf("etcd: nothing is below %q; one level up, below %q: %s", v.prefix, above,
			survey.Describe(v.format, strings.TrimSuffix(above, "/"), total, sample))
	}
	return nil
}

// sample returns the first entries below the prefix, and how many there are. An empty
// prefix has none.
func (v *view) sample(ctx context.Context, prefix string) (entries []survey.Entry, total int) {
	if strings.Trim(prefix, "/") == "" {
		return nil, 0
	}
	var answer *pb.RangeResponse
	if v.client.call(ctx, func(ctx context.Context) (err error) {
		answer, err = v.client.kv.Range(ctx, &pb.RangeRequest{
			Key: []byte(prefix), RangeEnd: []byte(clientv3.GetPrefixRangeEnd(prefix)), Limit: survey.Sample,
		})
		return err
	}) != nil {
		return nil, 0
	}
	for _, kv := range answer.Kvs {
		entries = append(entries, survey.Entry{Key: string(kv.Key), Value: kv.Value})
	}
	return entries, int(answer.Count)
}
