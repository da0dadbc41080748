package outlier

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Config is the parameters of outlier detection. A field that is zero has its
// default. bench/policy/RESULTS.md compares what the defaults lead to with other
// policies.
type Config struct {
	// EvidenceThreshold is how much likelier "this endpoint is broken" than
	// "it is as good as the others" must be, given the outcomes of its calls,
	// for an ejection. The default is ten million: three calls that fail in a
	// row where the others answer, about a dozen where every third fails. It
	// is at least 2. A higher threshold is slower; a lower one ejects servers
	// that had bad luck: with the default, and where one call in a hundred to
	// any server fails, about one in ten million calls.
	//
	// Whatever the threshold, nothing is ejected while most of the others fail
	// too, or before three others, or as many as there are, have been heard
	// from since the endpoint began to fail; after 250 ms without calls to them
	// that no longer counts.
	EvidenceThreshold float64
	// MaxEjectionPercent is the largest part of the fleet's weight that may be
	// out of service, endpoints that cannot be dialed included. Beyond it the
	// pool is in panic mode and uses all, as Envoy does; its panic threshold
	// is 50 % too. The default is 50; it is from 1 to 99. The last endpoint is
	// never ejected.
	MaxEjectionPercent int
	// BaseEjectionTime is the time until an ejected endpoint is probed, with
	// one call at a time, less up to a quarter at random. The probe interval
	// stays there for the first eight intervals, then grows with the length of
	// the outage, with up to 50 % jitter, up to MaxEjectionTime; but not while most
	// endpoints in service fail, or one is broken that MaxEjectionPercent keeps
	// there. A probe that takes longer to fail is followed by a pause as long. The
	// default is 400 ms.
	BaseEjectionTime time.Duration
	// MaxEjectionTime bounds that time. The default is 30 s, as for the first
	// ejection in gRPC (gRFC A50), or BaseEjectionTime if that is longer.
	MaxEjectionTime time.Duration
}

const (
	defaultEvidenceThreshold  = 1e7
	defaultMaxEjectionPercent = 50
	defaultBaseEjectionTime   = 400 * time.Millisecond
	defaultMaxEjectionTime    = 30 * time.Second
)

// Validate reports every field that makes no sense.
func (c Config) Validate() error {
	var errs []error
	if t := c.EvidenceThreshold; t != 0 && !(t >= 2) || math.IsInf(t, 0) {
		errs = append(errs, fmt.Errorf("outlier: Config.EvidenceThreshold %v is not a number of at least 2, or 0 for the default", t))
	}
	if p := c.MaxEjectionPercent; p < 0 || p > 99 {
		errs = append(errs, fmt.Errorf("outlier: Config.MaxEjectionPercent %d is not from 1 to 99, or 0 for the default", p))
	}
	if c.BaseEjectionTime < 0 {
		errs = append(errs, fmt.Errorf("outlier: Config.BaseEjectionTime %v is negative", c.BaseEjectionTime))
	}
	if c.MaxEjectionTime < 0 {
		errs = append(errs, fmt.Errorf("outlier: Config.MaxEjectionTime %v is negative", c.MaxEjectionTime))
	}
	if c.MaxEjectionTime > 0 && c.MaxEjectionTime < c.withDefaults().BaseEjectionTime {
		errs = append(errs, fmt.Errorf("outlier: Config.MaxEjectionTime %v is shorter than BaseEjectionTime %v",
			c.MaxEjectionTime, c.withDefaults().BaseEjectionTime))
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	if c.EvidenceThreshold == 0 {
		c.EvidenceThreshold = defaultEvidenceThreshold
	}
	if c.MaxEjectionPercent == 0 {
		c.MaxEjectionPercent = defaultMaxEjectionPercent
	}
	if c.BaseEjectionTime == 0 {
		c.BaseEjectionTime = defaultBaseEjectionTime
	}
	if c.MaxEjectionTime == 0 {
		c.MaxEjectionTime = max(defaultMaxEjectionTime, c.BaseEjectionTime)
	}
	return c
}
