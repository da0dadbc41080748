package outlier_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/outlier"
)

func TestValidateNamesEveryFieldThatMakesNoSense(t *testing.T) {
	for _, c := range []struct {
		cfg  outlier.Config
		says []string // each in an error of its own; none: the Config is valid
	}{
		{outlier.Config{}, nil},
		{outlier.Config{EvidenceThreshold: 2, MaxEjectionPercent: 1, BaseEjectionTime: 1, MaxEjectionTime: 1}, nil},
		{outlier.Config{EvidenceThreshold: math.MaxFloat64, MaxEjectionPercent: 99, BaseEjectionTime: time.Hour, MaxEjectionTime: time.Hour}, nil},
		{outlier.Config{BaseEjectionTime: time.Hour}, nil}, // MaxEjectionTime is as long by default
		{outlier.Config{MaxEjectionTime: 400 * ms}, nil},
		{outlier.Config{EvidenceThreshold: 1.9}, []string{"EvidenceThreshold 1.9"}},
		{outlier.Config{EvidenceThreshold: -1}, []string{"EvidenceThreshold -1"}},
		{outlier.Config{EvidenceThreshold: math.NaN()}, []string{"EvidenceThreshold NaN"}},
		{outlier.Config{EvidenceThreshold: math.Inf(1)}, []string{"EvidenceThreshold +Inf"}},
		{outlier.Config{EvidenceThreshold: math.Inf(-1)}, []string{"EvidenceThreshold -Inf"}},
		{outlier.Config{MaxEjectionPercent: -1}, []string{"MaxEjectionPercent -1"}},
		{outlier.Config{MaxEjectionPercent: 100}, []string{"MaxEjectionPercent 100"}},
		{outlier.Config{BaseEjectionTime: -time.Second}, []string{"BaseEjectionTime -1s"}},
		{outlier.Config{MaxEjectionTime: -time.Second}, []string{"MaxEjectionTime -1s"}},
		{outlier.Config{MaxEjectionTime: 399 * ms}, []string{"MaxEjectionTime 399ms is shorter than BaseEjectionTime 400ms"}},
		{outlier.Config{BaseEjectionTime: 2 * time.Minute, MaxEjectionTime: time.Minute}, []string{"MaxEjectionTime 1m0s is shorter than BaseEjectionTime 2m0s"}},
		{
			outlier.Config{EvidenceThreshold: 1, MaxEjectionPercent: 101, BaseEjectionTime: -1, MaxEjectionTime: -1},
			[]string{"EvidenceThreshold 1 ", "MaxEjectionPercent 101 ", "BaseEjectionTime -1ns ", "MaxEjectionTime -1ns "},
		},
	} {
		err := c.cfg.Validate()
		if err == nil {
			if len(c.says) > 0 {
				t.Errorf("%+v is valid, want an error about %q", c.cfg, c.says)
			}
			continue
		}
		lines := strings.Split(err.Error(), "\n")
		if len(lines) != len(c.says) {
			t.Errorf("%+v: %d errors, want %d: %v", c.cfg, len(lines), len(c.says), err)
			continue
		}
		for i, line := range lines {
			if !strings.HasPrefix(line, "outlier: Config."+c.says[i]) {
				t.Errorf("%+v: error %q, want one about %q", c.cfg, line, c.says[i])
			}
		}
	}
}

func TestEvidenceThresholdSetsHowManyFailuresEject(t *testing.T) {
	for threshold, want := range map[float64]int{2: 2, 1e3: 2, 1e7: 3, 1e20: 9} { // ln threshold over ln (1+p0)/2/p0, p0 = 0.002
		t.Run(fmt.Sprint(threshold), func(t *testing.T) {
			f := newFleetWith(outlier.Config{EvidenceThreshold: threshold}, equal(5)...)
			f.run(time.Minute, none)
			if n := f.failures(); n != want {
				t.Errorf("ejected after %d failures, want %d", n, want)
			}
		})
	}
}
