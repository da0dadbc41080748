package sqlpool

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/internal/brief"
)

// Error is an operation that failed because of its connection. What the server
// answers, such as an error of SQL, is returned as the driver made it.
//
// It matches [driver.ErrBadConn] where the driver says so only in a transaction or a
// [database/sql.Conn]: elsewhere the operation has been made again already, and
// database/sql must not.
type Error struct {
	// Endpoint is the address of the server.
	Endpoint string
	// Err is the error of the driver.
	Err error
}

// Error names the server and the cause, which is cut above 4 KiB.
func (e *Error) Error() string { return "sqlpool: " + e.Endpoint + ": " + brief.Text(e.Err) }

// Unwrap returns the error of the driver.
func (e *Error) Unwrap() error { return e.Err }

// settled is an error after all attempts. It does not match [driver.ErrBadConn], or
// database/sql would make as many again.
type settled struct{ error }

func (e settled) Is(target error) bool {
	return target != driver.ErrBadConn && errors.Is(e.error, target)
}

func (e settled) As(target any) bool { return errors.As(e.error, target) }

// errCut is the error of an operation whose connection the pool has closed.
var errCut = errors.New("the pool has closed the connection: its server left the set, or the pool is closed")

// errPanic is why a connection is closed whose driver panicked.
var errPanic = errors.New("sqlpool: the driver panicked")

// errRolledBack is why a connection is closed whose transaction ended with its
// context, if the driver cannot reset the session.
var errRolledBack = errors.New("sqlpool: the context of a transaction has ended")

// hungUp is the cause that closes the idle connections to the same server too: one
// that had ended before it was used is rarely alone, and a server that says goodbye
// says so on each.
type hungUp struct{ error }

func (h hungUp) Unwrap() []error { return []error{h.error, io.EOF} }

// Classify is the classifier of pools with connections of [Dial]. It is for
// classifiers that know more kinds of errors, see [WithClassifier]. It is safe for
// concurrent use.
//
//   - nil is OutcomeOK, and so is an error with an SQLSTATE (a method SQLState, as
//     errors of pgx and lib/pq have), which is an answer; except for these:
//   - SQLSTATEs of class 08 (connection exception) and 57P01 to 57P03 (the server
//     shuts down, crashed or starts) are OutcomeFailure; those of class 53
//     (insufficient resources, such as too many connections) are OutcomeOverload.
//   - [driver.ErrBadConn] is OutcomeFailure.
//   - Any other error is what [core.Classify] says: errors of the network and
//     time-outs are OutcomeFailure, and what is not known is OutcomeNeutral, such as
//     an error that the driver has made by itself.
func Classify(err error) balance.Outcome {
	if err == nil {
		return balance.OutcomeOK
	}
	var answer interface{ SQLState() string }
	if errors.As(err, &answer) && !errors.Is(err, context.Canceled) {
		return classifyState(answer.SQLState())
	}
	if errors.Is(err, driver.ErrBadConn) {
		return balance.OutcomeFailure
	}
	return core.Classify(err)
}

func classifyState(state string) balance.Outcome {
	switch {
	case leaving(state), len(state) == 5 && state[:2] == "08":
		return balance.OutcomeFailure
	case len(state) == 5 && state[:2] == "53":
		return balance.OutcomeOverload
	default:
		return balance.OutcomeOK
	}
}

// leaving reports whether a server that answers with the state ends all sessions.
func leaving(state string) bool { return state == "57P01" || state == "57P02" || state == "57P03" }

// goodbye reports whether err is what a server says that ends all sessions.
func goodbye(err error) bool {
	var answer interface{ SQLState() string }
	return errors.As(err, &answer) && leaving(answer.SQLState())
}
