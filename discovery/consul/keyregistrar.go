package consul

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/memo"
)

// maxKeyValue bounds the value of a key, in bytes. Consul takes half a mebibyte in one
// transaction by default (txn_max_req_len), in which a value has four bytes for three.
const maxKeyValue = 380 << 10

// keyRegistrar registers servers in the key-value store.
type keyRegistrar struct {
	*config
	memo memo.Memo[keyClaim]
}

// Validate reports every mistake in the arguments and options.
func (r *keyRegistrar) Validate() error {
	errs := []error{r.validateRegistrar()}
	if r.format.Encode == nil {
		errs = append(errs, errors.New("the format cannot be written"))
	}
	return r.validate(errs...)
}

// ValidateEndpoint reports what the format or a key cannot hold.
func (r *keyRegistrar) ValidateEndpoint(e discovery.Endpoint) error {
	_, _, err := r.encode(e)
	return err
}

func (r *keyRegistrar) encode(e discovery.Endpoint) (name string, value []byte, err error) {
	name, value, err = r.format.Encode(strings.TrimSuffix(r.prefix, "/"), e)
	switch {
	case err != nil:
		return "", nil, fmt.Errorf("consul: %w", err)
	case len(value) > maxKeyValue:
		return "", nil, fmt.Errorf("consul: the value would have %d bytes, only up to %d (%w)", len(value), maxKeyValue, errors.ErrUnsupported)
	}
	return name, value, nil
}

// Register implements [discovery.Registrar].
func (r *keyRegistrar) Register(ctx context.Context, e discovery.Endpoint, registered func()) error {
	if err := errors.Join(ctx.Err(), r.Validate()); err != nil {
		return err
	}
	name, value, err := r.encode(e)
	if err != nil {
		return err
	}
	g := &keyRegistration{config: r.config, key: r.prefix + name, value: value, registered: registered}
	g.keyClaim = r.memo.Take(ctx, g.key)
	err = g.run(ctx)
	agents := strings.Join(r.agents, ", ")
	if ctx.Err() == nil {
		g.reported = errors.Is(err, discovery.ErrConflict)
		r.memo.Leave(ctx, g.key, g.keyClaim)
		return fmt.Errorf("consul: registering %s at %s: %w", g.key, agents, err)
	}
	if err := g.remove(ctx); err != nil {
		return fmt.Errorf("consul: %s may stay for up to %v: removing it at %s: %w", g.key, 2*r.ttl, agents, err)
	}
	return ctx.Err()
}
