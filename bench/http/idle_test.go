package main

import (
	"io"
	"net/http"
	"runtime"
	"testing"

	"github.com/minicaptain/multi_connection_pool/bench/internal/endtoend"
	"github.com/minicaptain/multi_connection_pool/bench/internal/servers"
)

// idle is how many connections are open at once.
const idle = 300

// BenchmarkIdleConnection says how many goroutines and how much memory an idle connection of
// HTTP/1.1 keeps in the client.
func BenchmarkIdleConnection(b *testing.B) {
	group, err := servers.StartGroup(comparison().Protocol, 1)
	if err != nil {
		b.Fatal(err)
	}
	defer group.Kill()
	for _, arm := range comparison().Arms {
		if arm.Name == lb { // it keeps one
			continue
		}
		b.Run(arm.Name, func(b *testing.B) {
			var goroutines, bytes float64
			for b.Loop() {
				opened, err := arm.Open(group.Addrs(), endtoend.Workload{Callers: idle, Payload: 100, Version: http1})
				if err != nil {
					b.Fatal(err)
				}
				w, _ := opened.(*way)
				if err := w.get(b.Context()); err != nil {
					b.Fatal(err)
				}
				one, before := runtime.NumGoroutine(), inUse()
				if err := fill(w); err != nil {
					b.Fatal(err)
				}
				bytes += float64(inUse()-before) / (idle - 1)
				goroutines += float64(runtime.NumGoroutine()-one) / (idle - 1)
				if err := w.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(goroutines/float64(b.N), "goroutines/conn")
			b.ReportMetric(bytes/float64(b.N), "B/conn")
		})
	}
}

// fill opens the other connections: as long as an answer is not read, its connection is taken.
func fill(w *way) error {
	answers := make([]*http.Response, 0, idle)
	for range idle {
		resp, err := w.client.Get(w.urls[0])
		if err != nil {
			return err
		}
		answers = append(answers, resp)
	}
	for _, resp := range answers {
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return err
		}
		_ = resp.Body.Close()
	}
	return nil
}

// inUse returns the bytes of the heap and of stacks.
func inUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
