package live

import "time"

const (
	// interval is how often pools are sampled, and how long a point of a chart is.
	interval = 5 * time.Second
	// points is how many points a chart has: those of five minutes.
	points = 60
	// watched is how often pools are sampled while somebody looks.
	watched = time.Second
	// breath is the least time between two samples; events come by the hundred.
	breath = 200 * time.Millisecond
)

// start begins the sampling, unless it goes on already.
func (p *Page) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sampling || p.done.Err() != nil {
		return
	}
	p.sampling = true
	p.loop.Go(p.run) // ends with Close, which waits for it, or with the last panel
}

// changed wakes the sampling, if somebody looks.
func (p *Page) changed() {
	select {
	case p.wake <- struct{}{}:
	default: // it is about to wake
	}
}

// run samples the pools, and wakes the viewers.
func (p *Page) run() {
	timer := time.NewTimer(watched)
	defer timer.Stop()
	last := time.Now()
	for {
		select {
		case <-p.done.Done():
			return
		case <-timer.C:
		case <-p.wake:
			if p.viewing() == 0 && len(p.shown()) > 0 {
				continue // the timer goes on
			}
			if rest := breath - time.Since(last); rest > 0 && !p.sleep(rest) {
				return
			}
		}
		if p.over() {
			return
		}
		last = time.Now()
		p.sample()
		p.notify()
		if p.viewing() > 0 {
			timer.Reset(watched)
		} else {
			timer.Reset(interval)
		}
	}
}

// sample samples every pool.
func (p *Page) sample() {
	for _, panel := range p.shown() {
		panel.sample()
	}
}

// over reports whether there is nothing to sample any more, and ends the sampling then.
func (p *Page) over() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sampling = len(p.shownLocked()) > 0 // in one look: a pool that comes now begins the sampling anew, or is seen
	return !p.sampling
}

// sleep returns false when the page was closed.
func (p *Page) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-p.done.Done():
		return false
	}
}

func (p *Page) viewing() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.viewers)
}

// notify wakes those who look.
func (p *Page) notify() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for v := range p.viewers {
		select {
		case v <- struct{}{}:
		default: // it has not looked at the last sample yet
		}
	}
}
