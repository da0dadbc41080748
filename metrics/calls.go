package metrics

import (
	"encoding/json"
	"time"
)

// Calls is what happened to the calls to one endpoint, or to all. Every number
// only grows.
type Calls struct {
	// OK, Failed, Overloaded, Neutral and Canceled count calls by their outcome, see
	// package balance, from the first call of Measure on.
	OK, Failed, Overloaded, Neutral, Canceled uint64
	// Answers counts the answers whose latency was measured, since the pool was
	// made; AnswerTime is how long they took in all, known to 64 ns per answer and
	// behind by a tenth of a second.
	Answers    uint64
	AnswerTime time.Duration
	// Retries counts attempts that were not the first of their call.
	Retries uint64
	// Hedges counts second calls that were made because the first was late and went
	// here; HedgesWon those that answered first, HedgesFailed those that failed
	// before the first call had ended. The others came too late.
	Hedges, HedgesWon, HedgesFailed uint64
	// Ejections counts how often outlier detection took the endpoint out of service,
	// Probes the calls that found out whether it has recovered.
	Ejections, Probes uint64
}

// MarshalJSON has the time as text, such as "1.5s".
func (c Calls) MarshalJSON() ([]byte, error) {
	type plain Calls
	return json.Marshal(struct {
		plain

		AnswerTime string
	}{plain(c), c.AnswerTime.String()})
}

// Add adds o to c.
func (c *Calls) Add(o Calls) {
	c.OK += o.OK
	c.Failed += o.Failed
	c.Overloaded += o.Overloaded
	c.Neutral += o.Neutral
	c.Canceled += o.Canceled
	c.Answers += o.Answers
	c.AnswerTime += o.AnswerTime
	c.Retries += o.Retries
	c.Hedges += o.Hedges
	c.HedgesWon += o.HedgesWon
	c.HedgesFailed += o.HedgesFailed
	c.Ejections += o.Ejections
	c.Probes += o.Probes
}

// Pool is the numbers of a whole pool. They include the endpoints that have left
// the set, so that they only grow.
type Pool struct {
	Calls Calls
	// Leases counts ended leases.
	Leases uint64
	// Dials counts connections opened, DialFailures failed attempts, Closed
	// connections closed.
	Dials, DialFailures, Closed uint64
	// NoEndpoint, Unavailable and Exhausted count calls that got no connection, by
	// the error of core that they failed with.
	NoEndpoint, Unavailable, Exhausted uint64
	// Latency is how long answers took, FailureLatency how long other calls took that
	// reached a server, Wait how long calls waited that found no connection idle and
	// then got one. All count from the first call of Measure on.
	Latency, FailureLatency, Wait Histogram
}
