package consul

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestBodyThatIsLargerThanItMayBeFailsInsteadOfEnding(t *testing.T) {
	for _, c := range []struct {
		body string
		want error
	}{{"", nil}, {"123456789", nil}, {"1234567890", nil}, {"12345678901", errTooLarge}, {strings.Repeat("x", 5000), errTooLarge}} {
		for _, chunks := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader} {
			b := &boundedBody{io.NopCloser(chunks(strings.NewReader(c.body))), 10}
			got, err := io.ReadAll(b)
			if !errors.Is(err, c.want) || string(got) != c.body[:min(len(c.body), 10)] {
				t.Errorf("of %d bytes: %q, %v", len(c.body), got, err)
			}
		}
	}
}
