package main

import (
	"context"
	"log/slog"
	"net"

	"github.com/minicaptain/multi_connection_pool/bench/internal/apache"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

// listenThrift speaks framed and binary.
func listenThrift(addr string, h *handler) (net.Addr, func() error, error) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // clients that break a connection are expected
	return apache.Listen(addr, echoing{handler: h})
}

// echoing is the handler as generated code calls it.
type echoing struct {
	echo.Service
	*handler
}

func (e echoing) Echo(context.Context, string) (string, error) { return e.answer(), nil }
