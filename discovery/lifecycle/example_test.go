package lifecycle_test

import (
	"context"
	"database/sql"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/lifecycle"
)

// A server registers at the address of its pod while its database answers, and is
// drained on SIGTERM. The registrar is that of a URL, by OpenRegistrar of a Mux.
func Example() {
	var registrar discovery.Registrar // nil: there is no registry
	ping := func(context.Context) error { return nil }

	service, err := lifecycle.New(registrar, discovery.Endpoint{
		Addr: net.JoinHostPort(os.Getenv("POD_IP"), "9090"),
		Zone: os.Getenv("ZONE"),
	}, lifecycle.WithCheck(ping))
	if err != nil {
		log.Println(err) // it can never work
		return
	}
	http.Handle("/readyz", service.ReadyHandler())
	http.Handle("/livez", service.LiveHandler())
	server := &http.Server{Addr: ":9090"}
	go func() { log.Println(server.ListenAndServe()) }()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	context.AfterFunc(ctx, stop) // a second signal kills
	if err := service.Run(ctx, server.Shutdown); err != nil {
		log.Println(err)
	}
}

// A pod registers at its address and port, which the downward API gives it.
func Example_kubernetes() {
	var registrar discovery.Registrar // of OpenRegistrar; nil means that there is no registry
	var db *sql.DB
	server := &http.Server{Addr: ":" + os.Getenv("PORT")}

	service, err := lifecycle.New(registrar, discovery.Endpoint{
		Addr: net.JoinHostPort(os.Getenv("POD_IP"), os.Getenv("PORT")), // IPv6 too
		Zone: os.Getenv("ZONE"),
	}, lifecycle.WithCheck(db.PingContext))
	if err != nil {
		log.Fatal(err) // POD_IP is empty, or the registry cannot hold it
	}
	http.Handle("/readyz", service.ReadyHandler())
	http.Handle("/livez", service.LiveHandler())

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	context.AfterFunc(ctx, stop) // a second signal kills
	err = service.Run(ctx, server.Shutdown)
	log.Println(err)
}
