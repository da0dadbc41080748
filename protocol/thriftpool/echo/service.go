package echo

import (
	"context"
	"strings"
)

// Service implements [Echo] as echo.thrift describes it; note does nothing. Embed
// it in a type that implements some of the methods differently.
type Service struct{}

// Echo returns s, or an [*EchoError] when s begins with "throw".
func (Service) Echo(_ context.Context, s string) (string, error) {
	if strings.HasPrefix(s, "throw") {
		return "", &EchoError{Message: s}
	}
	return s, nil
}

// EchoBinary returns payload.
func (Service) EchoBinary(_ context.Context, payload []byte) ([]byte, error) { return payload, nil }

// Add returns a + b.
func (Service) Add(_ context.Context, a, b int64) (int64, error) { return a + b, nil }

// Send returns m.
func (Service) Send(_ context.Context, m *Message) (*Message, error) { return m, nil }

// Ping does nothing.
func (Service) Ping(context.Context) error { return nil }

// Note does nothing.
func (Service) Note(context.Context, string) error { return nil }

var _ Echo = Service{}
