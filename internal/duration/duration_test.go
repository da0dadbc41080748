package duration

import (
	"strings"
	"testing"
	"time"
)

func TestErrorSaysWhatToWrite(t *testing.T) {
	for text, want := range map[string]string{
		"5":                        `has no unit: write "5s" for seconds, "5ms" for milliseconds`,
		"1.5":                      `has no unit: write "1.5s" for seconds`,
		"":                         "is not a duration: write one such as",
		"5 s":                      "is not a duration",
		"five":                     "is not a duration",
		strings.Repeat("5", 1<<10): "is not a duration",
	} {
		if _, err := Parse(text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.20q: error %v, want %q", text, err, want)
		}
	}
	if d, err := Parse("1m30s"); d != 90*time.Second || err != nil {
		t.Errorf("%v, %v", d, err)
	}
}
