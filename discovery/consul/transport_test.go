package consul

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
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

// TestAnswerThatThePackageDoesNotReadItselfIsAnError has a transport that gives the body
// to Consul's own client, whose instances are not those of the set.
func TestAnswerThatThePackageDoesNotReadItselfIsAnError(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(list("a b")) }))
	defer s.Close()
	w := &watcher{config: newConfig([]string{s.Listener.Addr().String()}, "echo", nil)}
	c, err := newOwnClient(w.config, w.agents[0])
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if a, _, err := newInstances(w).read(t.Context(), c, 0); err != nil || len(a.values) != 2 {
		t.Fatalf("%d instances, error %v", len(a.values), err)
	}
	c.http.Transport = c.http.Transport.(bounded).Transport
	if _, _, err := newInstances(w).read(t.Context(), c, 0); err == nil || !strings.Contains(err.Error(), "nobody has read") {
		t.Errorf("error %v", err)
	}
}

func TestErrorOfWhoReadsABodyIsThatOfTheBodyInItsPlace(t *testing.T) {
	wrong := errors.New("wrong")
	d := &divertedBody{ReadCloser: io.NopCloser(strings.NewReader("[1]")), read: func(io.Reader) error { return wrong }}
	for range 2 {
		if n, err := d.Read(make([]byte, 10)); n != 0 || !errors.Is(err, wrong) {
			t.Errorf("read %d bytes, error %v", n, err)
		}
	}
}
