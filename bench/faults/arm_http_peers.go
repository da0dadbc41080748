package main

import (
	"context"
	"net/http"
	"sync/atomic"
)

// rotation is what people write by hand: a client of the standard library that calls the servers in turn, and the next
// one when a call fails.
type rotation struct {
	client *http.Client
	addrs  []string
	turn   atomic.Uint64
}

func openRotation(addrs []string) (way, error) {
	return &rotation{client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}, addrs: addrs}, nil
}

func (r *rotation) ask(ctx context.Context) (addr string, err error) {
	first := r.turn.Add(1)
	for k := range uint64(2) {
		if addr, err = r.try(ctx, r.addrs[(first+k)%uint64(len(r.addrs))]); err == nil {
			break
		}
	}
	return addr, err
}

// try makes one request to one server.
func (r *rotation) try(ctx context.Context, addr string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, deadline/2)
	defer cancel()
	return request(ctx, r.client.Do, http.MethodGet, addr)
}

func (r *rotation) Close() error {
	r.client.CloseIdleConnections()
	return nil
}
