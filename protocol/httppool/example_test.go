package httppool_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/minicaptain/multi_connection_pool/core"
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
	a, b := greeter(), greeter()

	pool, err := core.New(
		static.Watcher(a.Listener.Addr().String(), b.Listener.Addr().String()),
		httppool.Dial(httppool.Config{}),
	)
	if err != nil {
		log.Fatal(err)
	}
	var transport httppool.Transport
	if err := transport.Register("greeter", pool); err != nil {
		log.Fatal(err)
	}
	client := transport.Client()

	for _, name := range []string{"Ann", "Bob"} {
		resp, err := client.Get("http://greeter/" + name)
		if err != nil {
			log.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body) // and the connection is free again
		_ = resp.Body.Close()
		fmt.Println(string(text), err)
	}
	fmt.Println(pool.Close(context.Background()))
	a.Close()
	b.Close()
	// Output:
	// greeter: hello, Ann <nil>
	// greeter: hello, Bob <nil>
	// <nil>
}

// Hosts under which no pool is registered are reached as ever.
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

// Requests for the same user go to the same server, whose cache knows him.
func ExampleRoute() {
	var transport httppool.Transport
	pool, err := core.New(static.NewList(), httppool.Dial(httppool.Config{}))
	if err != nil {
		log.Fatal(err)
	}
	err = transport.Register("users", pool, httppool.Route(func(r *http.Request) []core.CallOption {
		return []core.CallOption{core.WithKey(r.URL.Path)}
	}))
	fmt.Println(err, pool.Close(context.Background()))
	// Output: <nil> <nil>
}

// A service that says 500 when it is ill, and 429 when it has too much to do.
func ExampleClassifyFunc() {
	judge := func(r *http.Response) core.Class {
		switch r.StatusCode {
		case http.StatusInternalServerError:
			return core.Failure
		case http.StatusTooManyRequests:
			return core.Overload
		default:
			return httppool.Classify(r)
		}
	}
	for _, status := range []int{200, 429, 500, 502} {
		fmt.Println(status, judge(&http.Response{StatusCode: status}))
	}
	_ = httppool.ClassifyFunc(judge) // an option of Register
	// Output:
	// 200 ok
	// 429 overload
	// 500 failure
	// 502 failure
}
