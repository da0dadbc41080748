package promobserver

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/minicaptain/multi_connection_pool/metrics"
)

// Classic buckets end at the powers of two seconds from 2^minClassic to
// 2^maxClassic.
const minClassic, maxClassic = -14, 5

// histogram is a native histogram that has classic buckets, too.
type histogram struct {
	prometheus.Metric

	classic []*dto.Bucket
}

// Write implements [prometheus.Metric].
func (h histogram) Write(out *dto.Metric) error {
	err := h.Metric.Write(out)
	if err == nil {
		out.Histogram.Bucket = h.classic
	}
	return err
}

func (s sink) histogram(d *prometheus.Desc, h *metrics.Histogram, labels ...string) {
	native := map[int]int64{}
	for i, n := range h.Counts {
		if i > 0 && n > 0 { // the first is the zero bucket; the last has no bound, and gets the next one
			native[metrics.Index(i)] = int64(n)
		}
	}
	s.ch <- histogram{
		prometheus.MustNewConstNativeHistogram(d, h.Count(), h.Sum.Seconds(), native, nil, h.Counts[0], metrics.Schema, metrics.Bound(0),
			s.since, slices.Concat(s.labels, labels)...),
		classic(h),
	}
}

func classic(h *metrics.Histogram) (buckets []*dto.Bucket) {
	n := uint64(0)
	for i, c := range h.Counts[:metrics.Buckets-1] {
		n += c
		if index, octave := metrics.Index(i), 1<<metrics.Schema; index%octave == 0 && minClassic*octave <= index && index <= maxClassic*octave {
			buckets = append(buckets, &dto.Bucket{UpperBound: new(metrics.Bound(i)), CumulativeCount: new(n)})
		}
	}
	return buckets
}
