package live

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// counted counts how often it is asked.
type counted struct{ asked atomic.Int64 }

func (*counted) Measure() {}

func (c *counted) Stats() core.Stats {
	c.asked.Add(1)
	return core.Stats{State: core.StateReady}
}

func TestPoolIsAskedEachFiveSecondsWhileNobodyLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		page, pool := New(), new(counted)
		defer page.Close()
		panel := page.Panel("users")
		panel.Show(pool)
		time.Sleep(watched + interval/2)
		pool.asked.Store(0)
		for range 120 {
			panel.Observe(core.Event{Kind: core.EventDialFailed, Endpoint: "a:1"}) // which wakes nobody
			time.Sleep(time.Second / 2)
		}
		if n := pool.asked.Load(); n != 12 {
			t.Errorf("asked %d times in a minute", n)
		}
	})
}

func TestPoolIsAskedEachSecondAndAtEachEventWhileSomebodyLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		page, pool := New(), new(counted)
		defer page.Close()
		panel := page.Panel("users")
		panel.Show(pool)
		woken, ok := page.join()
		if !ok {
			t.Fatal("nobody may look")
		}
		<-woken
		<-woken // of the first sample
		pool.asked.Store(0)
		time.Sleep(10*time.Second + breath/2)
		if n := pool.asked.Load(); n != 10 {
			t.Errorf("asked %d times in ten seconds", n)
		}
		<-woken
		begun := time.Now()
		for range 1000 {
			panel.Observe(core.Event{Kind: core.EventDialFailed, Endpoint: "a:1"})
		}
		<-woken
		if d := time.Since(begun); d > breath {
			t.Errorf("woken %v after the event", d)
		}
		time.Sleep(2 * breath)
		if n := pool.asked.Load(); n > 12 {
			t.Errorf("a thousand events at once were %d samples", n-10)
		}
		page.leave(woken)
	})
}

func TestNothingRunsWithoutAPoolOrAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		page, pool := New(), new(counted)
		asked := func(after string, want bool) {
			t.Helper()
			synctest.Wait()
			before := pool.asked.Load()
			time.Sleep(time.Minute)
			if got := pool.asked.Load() > before; got != want {
				t.Errorf("%s: asked %t", after, got)
			}
		}
		panel := page.Panel("users")
		panel.Show(pool)
		asked("shown", true)
		panel.Remove()
		page.loop.Wait()
		asked("removed", false)
		page.Panel("users").Show(pool)
		asked("shown again", true)
		page.Close()
		page.Panel("more").Show(pool)
		asked("closed", false)
	})
}

func TestOnlySoManyMayLook(t *testing.T) {
	page := New()
	defer page.Close()
	for range maxViewers {
		if _, ok := page.join(); !ok {
			t.Fatal("somebody may not look")
		}
	}
	if _, ok := page.join(); ok {
		t.Error("one more may look")
	}
}
