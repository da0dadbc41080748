package live

import (
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// Document is what the page shows: a line for every pool, and one pool in full. It is
// the answer to pools.json, and each message of the stream.
type Document struct {
	Time time.Time `json:"time"`
	// Level and Verdict say of all pools whether all is well.
	Level   Level  `json:"level"`
	Verdict string `json:"verdict"`
	// Process is the name of the program, and PID its number.
	Process string `json:"process"`
	PID     int    `json:"pid"`
	// Actions is whether requests may act on the pools.
	Actions bool      `json:"actions"`
	Pools   []Summary `json:"pools"`
	// Pool is the pool that was asked for, nil if there is none.
	Pool *Detail `json:"pool,omitempty"`
}

// Level says how bad something is.
type Level string

const (
	// OK means that all is well.
	OK Level = "ok"
	// Warn means that calls are answered, and not all is well.
	Warn Level = "warn"
	// Bad means that calls cannot be answered.
	Bad Level = "bad"
)

// Summary is one pool in a line.
type Summary struct {
	Name    string `json:"name"`
	Level   Level  `json:"level"`
	Verdict string `json:"verdict"`
	// Servers counts the set; InService those that are neither ejected nor down.
	// Slow ones are in service. A server that is ejected and down counts as both.
	Servers   int `json:"servers"`
	InService int `json:"in_service"`
	Ejected   int `json:"ejected"`
	Down      int `json:"down"`
	Slow      int `json:"slow"`
	// Calls and Failures count since the pool was made, or measures.
	Calls    uint64 `json:"calls"`
	Failures uint64 `json:"failures"`
	// CallsPerSecond and FailuresPerSecond are those of the last second, or, when
	// nobody has looked, of the last five.
	CallsPerSecond    float64 `json:"calls_per_s"`
	FailuresPerSecond float64 `json:"failures_per_s"`
	// Latency is the average of the newest point of its chart; P50 and P99 are quantiles
	// since the pool measures.
	Latency float64 `json:"latency_ms"`
	P50     float64 `json:"latency_p50_ms"`
	P99     float64 `json:"latency_p99_ms"`
	// Waiting calls wait for a connection now; InUse connections are leased.
	Waiting int `json:"waiting"`
	InUse   int `json:"in_use"`
	// RateChart, FailureChart and LatencyChart are the last five minutes.
	RateChart    Chart `json:"calls_per_s_chart"`
	FailureChart Chart `json:"failures_per_s_chart"`
	LatencyChart Chart `json:"latency_ms_chart"`
}

// Detail is one pool in full.
type Detail struct {
	Name     string   `json:"name"`
	Registry Registry `json:"registry"`
	// Matching is how many servers match q; Servers are those from Offset on.
	Matching int      `json:"matching"`
	Offset   int      `json:"offset"`
	Servers  []Server `json:"servers"`
	// Events are the last ones, the newest first.
	Events []Event `json:"events"`
}

// Registry is what the pool knows from its registry.
type Registry struct {
	// State is that of the set, since Since.
	State core.State `json:"state"`
	Since time.Time  `json:"since"`
	// Error is why the watch is lost, and Doctor then the command that finds the cause;
	// Warning what is odd; Rejected counts entries that were dropped.
	Error    string `json:"error,omitempty"`
	Doctor   string `json:"doctor,omitempty"`
	Warning  string `json:"warning,omitempty"`
	Rejected uint64 `json:"rejected"`
	// Servers is how many servers are in the set.
	Servers int `json:"servers"`
	// Disagreements say where the registry and the pool differ.
	Disagreements []string `json:"disagreements"`
}

// Server is one server of a pool.
type Server struct {
	Addr   string            `json:"addr"`
	Weight float64           `json:"weight"`
	Zone   string            `json:"zone,omitempty"`
	Attrs  map[string]string `json:"attrs,omitempty"`
	// State is in service, slow, down or ejected; Level says how bad that is. Slow
	// means that answers take three times as long as those of the median server in
	// service, and a millisecond at least. Down tells whether an ejected server is
	// down too.
	State string `json:"state"`
	Level Level  `json:"level"`
	Down  bool   `json:"down"`
	// Share is the part of the pool's calls, from 0 to 1, of the time that
	// CallsPerSecond has; Calls are all since it joined.
	Share             float64 `json:"share"`
	Calls             uint64  `json:"calls"`
	CallsPerSecond    float64 `json:"calls_per_s"`
	Failures          uint64  `json:"failures"`
	FailuresPerSecond float64 `json:"failures_per_s"`
	// Latency is the average time that answers took, with a time constant of two
	// seconds; 0 if there were none.
	Latency float64 `json:"latency_ms"`
	// InUse of Limit callers; Idle, Open, Dialing and Closing connections.
	InUse   int `json:"in_use"`
	Limit   int `json:"limit"`
	Idle    int `json:"idle"`
	Open    int `json:"open"`
	Dialing int `json:"dialing"`
	Closing int `json:"closing"`
	// Counters since it joined.
	OK           uint64 `json:"ok"`
	Failed       uint64 `json:"failed"`
	Overloaded   uint64 `json:"overloaded"`
	Neutral      uint64 `json:"neutral"`
	Canceled     uint64 `json:"canceled"`
	Retries      uint64 `json:"retries"`
	Hedges       uint64 `json:"hedges"`
	HedgesWon    uint64 `json:"hedges_won"`
	Ejections    uint64 `json:"ejections"`
	Probes       uint64 `json:"probes"`
	Dials        uint64 `json:"dials"`
	DialFailures uint64 `json:"dial_failures"`
	Closed       uint64 `json:"closed"`
	// LastDial is the error of the last dial, if that failed. Ejection, Readmission and
	// Failure are the last events of their kinds.
	LastDial    string `json:"last_dial,omitempty"`
	Ejection    *Event `json:"ejection,omitempty"`
	Readmission *Event `json:"readmission,omitempty"`
	Failure     *Event `json:"failure,omitempty"`
	// ShareChart and LatencyChart are the last five minutes.
	ShareChart   Chart `json:"share_chart,omitempty"`
	LatencyChart Chart `json:"latency_ms_chart,omitempty"`
}
