package main

import "time"

// kind is what an event is.
type kind uint8

const (
	// arrival: a call comes.
	arrival kind = iota
	// ticking: a client's picker sees time pass.
	ticking
	// ending: an attempt ends.
	ending
	// joining: the last server joins.
	joining
)

// event is what happens at a time.
type event struct {
	at   time.Duration
	kind kind
	n    int32 // index of the attempt or the client
}

// queue has the events in order of time: a heap of four children per node.
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
