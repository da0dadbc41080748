// Package metrics is the numbers that a pool counts of its calls, and the
// histograms of how long they take and wait. core.Stats has them once
// core.Pool.Measure was called; packages under observe pass them on.
package metrics
