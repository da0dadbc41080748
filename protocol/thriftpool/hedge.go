package thriftpool

import (
	"context"
	"errors"
	"reflect"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/retry"
)

// Hedged names methods whose calls are made a second time, on another server,
// when they are late: see [retry.RunHedged] for when that is. The first reply
// counts, and the other call is canceled, which closes its connection. Hedged
// implies [Idempotent]; "*" means all methods, and the default is none. Oneway
// calls are never hedged.
//
// A hedged method costs a goroutine and some allocations more per call. Both
// calls may read the arguments at the same time, and the one that lost for a
// moment after the other has returned: do not change what they point to.
func Hedged(methods ...string) Option {
	f := named(methods)
	return func(c *client) { c.hedged = f }
}

// hedgeable reports whether a call can have a result of its own: the caller's
// may belong to somebody else by the time the call that lost ends.
func hedgeable(result thrift.TStruct) bool {
	p := reflect.ValueOf(result)
	return p.Kind() == reflect.Pointer && !p.IsNil()
}

// response is the reply of an attempt.
type response struct {
	meta   thrift.ResponseMeta
	result reflect.Value // points to a struct of the caller's type
}

// hedge makes a call that is made a second time when it is late.
func (c *client) hedge(ctx context.Context, v invocation) (thrift.ResponseMeta, error) {
	into := reflect.ValueOf(v.result).Elem()
	got, err := retry.RunHedged(ctx, c.retrier, c.plan(v), func(ctx context.Context, a retry.Attempt) (response, retry.Result, error) {
		own, mine := reflect.New(into.Type()), v
		mine.result, _ = reflect.TypeAssert[thrift.TStruct](own)
		meta, res, err := c.attempt(ctx, a, mine)
		return response{meta, own}, res, err
	})
	if got.result.IsValid() {
		into.Set(got.result.Elem())
	}
	if _, ok := errors.AsType[*Error](err); err != nil && !ok { // the context ended while both calls ran
		err = noConn(wireName(c.service, v.method), nil, err)
	}
	return got.meta, err
}
