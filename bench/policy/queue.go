package main

import "time"

// kind is the kind of an event.
type kind uint8

const (
	// arrival is the beginning of a call.
	arrival kind = iota
	// ticking is a tick of a client's picker.
	ticking
	// ending is the end of an attempt.
	ending
	// joining is when the last server joins.
	joining
)

// event is something that happens at a point in time.
type event struct {
	at   time.Duration
	kind kind
	n    int32 // index of the attempt or the client
}

// queue has the events in the order of time. It is a heap with four children per node.
type queue []event

func (q *queue) push(e event) {
	h := append(*q, e)
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 4
		if h[up].at <= e.at {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = e
	*q = h
}

func (q *queue) pop() event {
	h := *q
	top, last := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	*q = h
	for i := 0; len(h) > 0; {
		least := 4*i + 1
		for k := least + 1; k < min(4*i+5, len(h)); k++ {
			if h[k].at < h[least].at {
				least = k
			}
		}
		if least >= len(h) || last.at <= h[least].at {
			h[i] = last
			break
		}
		h[i] = h[least]
		i = least
	}
	return top
}
