//go:build go1.26

package httppool_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/protocol/httppool"
)

// greeter is a server that says who it was asked for.
func greeter() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s: hello, %s", r.Host, strings.TrimPrefix(r.URL.Path, "/"))
	}))
}

// A client whose URLs name services instead of servers.
func Example() {
	ann, bob := greeter(), greeter()

	client, err := httppool.NewClient(map[string]core.Watcher{
		"greeter": static.Watcher(ann.Listener.Addr().String(), bob.Listener.Addr().String()),
	})
	if err != nil {
		log.Fatal(err)
	}

	for _, name := range []string{"Ann", "Bob"} {
		resp, err := client.Get("http://greeter/" + name)
		if err != nil {
			log.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body) // which frees the connection
		_ = resp.Body.Close()
		fmt.Println(string(text), err)
	}

	fmt.Println(client.Close(context.Background()))
	ann.Close()
	bob.Close()
	// Output:
	// greeter: hello, Ann <nil>
	// greeter: hello, Bob <nil>
	// <nil>
}

// Options hold for every host, or for one.
func ExampleNewClient() {
	client, err := httppool.NewClient(
		map[string]core.Watcher{
			"users":   static.Watcher("10.0.0.1:8080", "10.0.0.2:8080"),
			"billing": static.Watcher("10.0.1.1:8443"),
		},
		httppool.Attempts(2),
		httppool.WithConfig(httppool.Config{Timeout: 500 * time.Millisecond}),
		httppool.WithPool(core.MaxActive(32)),
		httppool.WithHost("billing",
			httppool.WithConfig(httppool.Config{HTTP2: true, TLS: &tls.Config{MinVersion: tls.VersionTLS13}}),
			httppool.Attempts(1)),
	)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(client.Pool("users") != client.Pool("billing"), client.Close(context.Background()))
	// Output: true <nil>
}

// A registry is named by its URL.
func ExampleOpenClient() {
	var mux discovery.Mux
	mux.Handle("static", static.Opener)

	_, err := httppool.OpenClient(&mux, map[string]string{
		"users":  "static://10.0.0.1:8080,10.0.0.2:8080",
		"orders": "zk://10.0.0.1:2181/services/orders",
	})
	fmt.Println(err)
	// Output: httppool: host "orders": discovery: scheme "zk" is not known: import "github.com/minicaptain/multi_connection_pool/discovery/zk" and call Handle("zk", zk.Opener) of the Mux; known are static
}

// A program that makes its pools itself registers them.
func ExampleTransport() {
	server := greeter()
	pool, err := core.New(static.Watcher(server.Listener.Addr().String()), httppool.Dial(httppool.Config{}))
	if err != nil {
		log.Fatal(err)
	}
	var transport httppool.Transport
	if err := transport.Register("greeter", pool); err != nil {
		log.Fatal(err)
	}
	client := transport.Client()

	resp, err := client.Get("http://greeter/you")
	if err != nil {
		log.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	fmt.Println(string(text), pool.Close(context.Background()))
	server.Close()
	// Output: greeter: hello, you <nil>
}

// Another transport sends the requests for hosts without a pool.
func ExampleTransport_fallback() {
	server := greeter()
	transport := httppool.Transport{Fallback: http.DefaultTransport}
	client := transport.Client()

	resp, err := client.Get(server.URL + "/you")
	if err != nil {
		log.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	client.CloseIdleConnections()
	server.Close()
	fmt.Println(strings.HasSuffix(string(text), "hello, you"))
	// Output: true
}

// Requests for the same user go to the same server, whose cache knows the user.
func ExampleWithRoute() {
	client, err := httppool.NewClient(
		map[string]core.Watcher{"users": static.NewList()},
		httppool.WithRoute(func(r *http.Request) []core.CallOption {
			return []core.CallOption{core.WithKey(r.URL.Path)}
		}),
	)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(client.Close(context.Background()))
	// Output: <nil>
}

// A service that answers 500 when it is broken, and 429 when it is overloaded.
func ExampleWithClassifier() {
	judge := func(r *http.Response) balance.Outcome {
		switch r.StatusCode {
		case http.StatusInternalServerError:
			return balance.OutcomeFailure
		case http.StatusTooManyRequests:
			return balance.OutcomeOverload
		default:
			return httppool.Classify(r)
		}
	}
	for _, status := range []int{200, 429, 500, 502} {
		fmt.Println(status, judge(&http.Response{StatusCode: status}))
	}
	_ = httppool.WithClassifier(judge) // an option of NewClient and of Register
	// Output:
	// 200 ok
	// 429 overload
	// 500 failure
	// 502 failure
}
