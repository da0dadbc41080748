// Package duration reads durations that people have written, with errors that say
// what to write.
package duration

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Parse is time.ParseDuration. Its error continues the quoted text.
func Parse(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err == nil {
		return d, nil
	}
	if _, err := strconv.ParseFloat(s, 64); err == nil && len(s) < 20 {
		return 0, fmt.Errorf(`has no unit: write "%ss" for seconds, "%[1]sms" for milliseconds`, s)
	}
	return 0, errors.New(`is not a duration: write one such as "5s" or "1m30s"`)
}
