package discovery_test

import (
	"context"
	"fmt"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
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
	p.Format(&m.format, "format", "naming", "how entries are written")
	p.Duration(&m.timeout, "timeout", 5*time.Second, time.Second, time.Minute, "how long an answer may take")
	return m
}

func (m *memory) Watcher(u *discovery.URL) (core.Watcher, error) {
	m.path = u.Path
	return m, nil
}

// Watch lists, follows and reports; whatever ends it, the pool calls it again.
func (m *memory) Watch(_ context.Context, report func([]core.Endpoint)) error {
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
	err = w.Watch(context.Background(), func(eps []core.Endpoint) {
		for _, e := range eps {
			fmt.Printf("%s zone=%q; ", e.Addr, e.Zone)
		}
		fmt.Println("that is all")
	})
	fmt.Println(err)

	// Output:
	// discovery: memory:///services/echo?timeuot=...: parameter "timeuot" is not known; known are format, timeout
	// 10.0.0.1:9090 zone=""; 10.0.0.3:9090 zone="b"; that is all
	// 10.0.0.3:9090 zone="b"; that is all
	// memory: watching /services/echo: connection lost
}
