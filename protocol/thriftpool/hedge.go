package thriftpool

import (
	"context"
	"reflect"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/core"
)

// Hedged names methods whose calls are made a second time, on another server,
// when they are late: see [core.Hedged] for when that is. The first reply
// counts, and the other call is cancelled, which closes its connection. It
// implies [Idempotent]; "*" means all methods, and without the option it is
// none. Oneway calls are never hedged.
//
// A method that is hedged costs a goroutine and some allocations more per call.
// Its arguments may be read by both calls at the same time, and by the one that
// lost for a moment after it has returned: do not change what they point to.
func Hedged(methods ...string) Option {
	f := named(methods)
	return func(c *client) { c.hedged = f }
}

// outcome is what one of two calls of a method brought.
type outcome struct {
	meta   thrift.ResponseMeta
	result reflect.Value // points to a struct of the caller's type
}

// twice makes a call that is made again when it is late. Each has a result of
// its own: the caller's may belong to somebody else by the time the loser ends.
func (c *client) twice(
	ctx context.Context, method string, args, result thrift.TStruct, opts []core.CallOption,
) (thrift.ResponseMeta, error) {
	into := reflect.ValueOf(result)
	if into.Kind() != reflect.Pointer || into.IsNil() {
		return c.once(ctx, method, args, result, nil, opts)
	}
	a, err := core.HedgedCall(ctx, c.pool, func(ctx context.Context, leased func(string), opts ...core.CallOption) (outcome, error) {
		own := reflect.New(into.Type().Elem())
		result, _ := reflect.TypeAssert[thrift.TStruct](own)
		meta, err := c.once(ctx, method, args, result, leased, opts)
		return outcome{meta, own}, err
	}, opts...)
	if a.result.IsValid() {
		into.Elem().Set(a.result.Elem())
		return a.meta, err
	}
	return a.meta, noConn(method, nil, err) // the context ended while both ran
}
