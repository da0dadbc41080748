package balance

import "time"

// Outcome is what the end of a call says about its server.
type Outcome uint8

const (
	// OutcomeOK means that the server answered as it should, if only with an
	// error of the application. The connection is kept.
	OutcomeOK Outcome = iota
	// OutcomeFailure means that the server is at fault: it broke the
	// connection, did not answer in time, or answered nonsense. The connection
	// is closed.
	OutcomeFailure
	// OutcomeOverload means that the server answered that it has too much to
	// do. The connection is kept.
	OutcomeOverload
	// OutcomeNeutral means that the error says nothing about the server. The
	// connection is kept if it is a core.Peeker and in order.
	OutcomeNeutral
	// OutcomeCanceled means that the caller gave up before the answer: the time
	// until then is only a lower bound of the latency. The connection is closed,
	// since the answer may still arrive on it.
	OutcomeCanceled
	// OutcomeDialFailure means that no connection could be opened. The pool
	// itself reports it.
	OutcomeDialFailure
)

// String returns the name of the outcome in lower case.
func (o Outcome) String() string {
	switch o {
	case OutcomeOK:
		return "ok"
	case OutcomeFailure:
		return "failure"
	case OutcomeOverload:
		return "overload"
	case OutcomeNeutral:
		return "neutral"
	case OutcomeCanceled:
		return "canceled"
	case OutcomeDialFailure:
		return "dial failure"
	default:
		return "unknown outcome"
	}
}

// Report is the outcome of one call. The zero Report is an answer of unknown
// latency.
type Report struct {
	Outcome Outcome
	// Latency is how long the server took; 0 means that it was not measured.
	Latency time.Duration
	// Load is the server's self-reported load: 0 means idle or unknown, 1 means
	// that a call takes about twice as long as on an idle server. [LeastLatency]
	// counts an answer as 1 + Load times as late as it was, so that a server that
	// other clients keep busy gets fewer calls before its latency rises. A negative
	// Load counts as 0, one above 100 as 100.
	Load float64
	// At is the time of the report since the pool was made. The pool sets it.
	At time.Duration
}
