package thriftpool

import (
	"context"
	"fmt"

	"github.com/apache/thrift/lib/go/thrift"
)

const (
	// maxDepth is how deep the structs of a reply may be nested, as Apache's own
	// Skip has it. Types that refer to themselves are read by recursion, and code
	// of compilers before 0.24 has no limit.
	maxDepth = thrift.DEFAULT_RECURSION_DEPTH
	// DefaultMaxElements is the number if [Config.MaxElements] is zero.
	DefaultMaxElements = 1 << 20
)

// limits is the protocol by which a reply is read. Generated code makes room for a
// list, a set or a map by the length that the server tells, before it reads an
// element. Apache's protocols compare that with what is left of the frame; without
// frames they allow as many elements as the largest message has bytes.
type limits struct {
	thrift.TProtocol

	most  int // elements; below 0 = any number
	depth int // of the struct that is being read
}

func (l *limits) ReadStructBegin(ctx context.Context) (string, error) {
	if l.depth++; l.depth > maxDepth {
		return "", thrift.NewTProtocolExceptionWithType(thrift.DEPTH_LIMIT,
			fmt.Errorf("thriftpool: the reply has structs nested deeper than %d", maxDepth))
	}
	return l.TProtocol.ReadStructBegin(ctx)
}

func (l *limits) ReadStructEnd(ctx context.Context) error {
	l.depth--
	return l.TProtocol.ReadStructEnd(ctx)
}

func (l *limits) ReadListBegin(ctx context.Context) (elem thrift.TType, size int, err error) {
	if elem, size, err = l.TProtocol.ReadListBegin(ctx); err == nil {
		err = l.check(size)
	}
	return elem, size, err
}

func (l *limits) ReadSetBegin(ctx context.Context) (elem thrift.TType, size int, err error) {
	if elem, size, err = l.TProtocol.ReadSetBegin(ctx); err == nil {
		err = l.check(size)
	}
	return elem, size, err
}

func (l *limits) ReadMapBegin(ctx context.Context) (key, value thrift.TType, size int, err error) {
	if key, value, size, err = l.TProtocol.ReadMapBegin(ctx); err == nil {
		err = l.check(size)
	}
	return key, value, size, err
}

// check returns an error if a container has too many elements.
func (l *limits) check(size int) error {
	if l.most < 0 || size <= l.most {
		return nil
	}
	return thrift.NewTProtocolExceptionWithType(thrift.SIZE_LIMIT,
		fmt.Errorf("thriftpool: the reply has a list, set or map of %d elements, more than MaxElements, %d", size, l.most))
}
