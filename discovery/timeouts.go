package discovery

import (
	"errors"
	"fmt"
	"time"

	"github.com/minicaptain/multi_connection_pool/internal/duration"
)

const (
	defaultTimeout = 5 * time.Second
	minTimeout     = 100 * time.Millisecond
	maxTimeout     = time.Minute

	defaultTTL = 10 * time.Second
	minTTL     = 2 * time.Second // etcd grants no shorter lease
	maxTTL     = time.Hour
)

// Timeout declares the parameter timeout: how long a server may take to answer,
// connecting included. It is 5 s by default, and from 100 ms to 1 min.
func (p *Params) Timeout(v *time.Duration) {
	p.Duration(v, "timeout", defaultTimeout, minTimeout, maxTimeout, "how long a server may take to answer, connecting included")
}

// TTL declares the parameter ttl: how long an entry stays in the registry after
// the registry last heard from its program. It is 10 s by default, and from 2 s
// to 1 h in whole seconds.
func (p *Params) TTL(v *time.Duration) {
	bounds := fmt.Sprintf("from %v to %v in whole seconds", minTTL, maxTTL)
	about := Param{"ttl", "duration " + bounds, defaultTTL.String(), "how long an entry outlives its program"}
	declare(p, v, defaultTTL, about, duration.Parse, func(d time.Duration) error {
		if d < minTTL || d > maxTTL || d%time.Second != 0 {
			return errors.New("is not a duration " + bounds)
		}
		return nil
	})
}
