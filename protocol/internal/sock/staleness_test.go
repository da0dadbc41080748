package sock

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestAConnectionIsSuspectWhenItWasIdleOrAnotherBroke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewStaleness()
		time.Sleep(time.Minute)
		used := s.Now()
		if got := s.At(time.Now()); got != used {
			t.Errorf("At says %v, Now %v", got, used)
		}
		for idle, want := range map[time.Duration]bool{0: false, peekAfterIdle - 1: false, peekAfterIdle: true, time.Hour: true} {
			if got := s.Suspect(used, used+idle); got != want {
				t.Errorf("idle for %v: %v", idle, got)
			}
		}
		s.Broke(used)
		for later, want := range map[time.Duration]bool{0: true, alertTime - 1: true, alertTime: false} {
			now := used + later
			if got := s.Suspect(now, now); got != want {
				t.Errorf("%v after another broke: %v", later, got)
			}
		}
	})
}
