package live

import (
	"encoding/json"
	"net/http"
	"time"
)

const (
	// maxViewers is how many streams there may be at once.
	maxViewers = 64
	// writeTimeout is how long a viewer may take to read a message.
	writeTimeout = 10 * time.Second
)

// stream sends the document now, at each change, and each second.
func (p *Page) stream(w http.ResponseWriter, r *http.Request) {
	woken, ok := p.join()
	if !ok {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "too many streams, or the page is closed", http.StatusServiceUnavailable)
		return
	}
	defer p.leave(woken)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would wait for more
	p.sample()                                // the last one may be seconds old
	q, out := parse(r.URL.Query()), http.NewResponseController(w)
	for {
		select {
		case <-r.Context().Done():
			return
		case <-p.done.Done():
			return
		case <-woken:
		}
		data, err := json.Marshal(p.document(q))
		if err != nil {
			return // no float of the document is infinite, so there is none
		}
		_ = out.SetWriteDeadline(time.Now().Add(writeTimeout)) // a server without deadlines has none
		if _, err := w.Write([]byte("data: " + string(data) + "\n\n")); err != nil {
			return
		}
		if err := out.Flush(); err != nil {
			return
		}
	}
}

// join makes somebody a viewer, who is woken at once.
func (p *Page) join() (woken chan struct{}, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.viewers) >= maxViewers || p.done.Err() != nil {
		return nil, false
	}
	woken = make(chan struct{}, 1)
	woken <- struct{}{}
	p.viewers[woken] = struct{}{}
	p.changed() // samples come each second from now on
	return woken, true
}

func (p *Page) leave(woken chan struct{}) {
	p.mu.Lock()
	delete(p.viewers, woken)
	p.mu.Unlock()
}
