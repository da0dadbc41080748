package discovery_test

import (
	"context"
	"fmt"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

// memory is the backend of a plugin: its parameters, and below its watcher.
type memory struct {
	format  format.Format
	timeout time.Duration
	path    string
}

// openMemory is what such a plugin exports for its users to hand to a Mux.
func openMemory(p *discovery.Params) discovery.Backend {
	m := &memory{}
	format.Param(p, &m.format, "format", "naming", "how entries are written")
	p.Duration(&m.timeout, "timeout", 5*time.Second, time.Second, time.Minute, "how long an answer may take")
	return m
}

func (m *memory) Watcher(u *discovery.URL) (discovery.Watcher, error) {
	m.path = u.Path
	return m, nil
}

// Watch lists, follows and reports. Whatever ends it, the pool calls it again.
func (m *memory) Watch(_ context.Context, report func([]discovery.Endpoint)) error {
	set := discovery.NewSet(m.format.Decode, nil)
	set.Replace(func(yield func(string, []byte) bool) {
		_ = yield(m.path+"/1", []byte(`{"Op":0,"Addr":"10.0.0.1:9090"}`)) &&
			yield(m.path+"/2", []byte(`malformed`)) &&
			yield(m.path+"/3", []byte(`{"Op":0,"Addr":"10.0.0.3:9090","Metadata":{"zone":"b"}}`))
	})
	set.Report(report)
	set.Delete(m.path + "/1")
	set.Report(report)
	return fmt.Errorf("memory: watching %s: connection lost", m.path)
}

// A program without a pool follows a watcher by itself.
func ExampleFollow() {
	list := static.NewList(discovery.Endpoint{Addr: "10.0.0.1:9090"}, discovery.Endpoint{Addr: "10.0.0.2:9090"})
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	discovery.Follow(ctx, list, discovery.Follower{
		Changed: func(c discovery.Change) {
			fmt.Println(len(c.Set), "servers,", len(c.Added), "added,", len(c.Removed), "removed")
			if len(c.Set) == 1 {
				stop()
				return
			}
			if err := list.Set(c.Set[0]); err != nil {
				fmt.Println(err)
			}
		},
		Lost: func(err error, pause time.Duration) {
			fmt.Println("watching again in", pause, "after", err)
		},
	})
	// Output:
	// 2 servers, 2 added, 0 removed
	// 1 servers, 0 added, 1 removed
}

func Example() {
	var mux discovery.Mux
	mux.Handle("memory", openMemory)

	_, err := mux.Open("memory:///services/echo?timeuot=3s")
	fmt.Println(err)

	w, err := mux.Open("memory:///services/echo?timeout=3s")
	if err != nil {
		fmt.Println(err)
		return
	}
	err = w.Watch(context.Background(), func(eps []discovery.Endpoint) {
		for _, e := range eps {
			fmt.Printf("%s zone=%q; ", e.Addr, e.Zone)
		}
		fmt.Println("that is all")
	})
	fmt.Println(err)

	// Output:
	// discovery: memory:///services/echo?timeuot=...: parameter "timeuot" is not known; known are format, timeout, where
	// 10.0.0.1:9090 zone=""; 10.0.0.3:9090 zone="b"; that is all
	// 10.0.0.3:9090 zone="b"; that is all
	// memory: watching /services/echo: connection lost
}
