// Package clock is the local cloud's time: it can run fast, or stand still and
// be moved by hand, so that a rebuild of minutes is watched in seconds and a
// test needs no sleep. It is for the local cloud and for tests, never for
// production.
package clock

import (
	"sync"
	"time"
)

// A Clock shows cloud time: Start plus Rate seconds for each real second. All
// methods may be called at once from several goroutines.
type Clock struct {
	mu    sync.Mutex
	base  time.Time // cloud time at real
	real  time.Time
	rate  float64
	moved chan struct{} // closed and replaced by Advance and SetRate
}

// New returns a clock that shows start now and runs rate times as fast as real
// time; a rate of 0 stands still until Advance.
func New(start time.Time, rate float64) *Clock {
	return &Clock{base: start, real: time.Now(), rate: rate, moved: make(chan struct{})}
}

// Now returns the cloud's time, in UTC.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

func (c *Clock) now() time.Time {
	return c.base.Add(time.Duration(float64(time.Since(c.real)) * c.rate)).UTC()
}

// Rate returns how many cloud seconds pass in a real second.
func (c *Clock) Rate() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rate
}

// Advance moves the clock forward by d and wakes everyone who waits.
func (c *Clock) Advance(d time.Duration) { c.set(d, -1) }

// SetRate changes the speed from now on.
func (c *Clock) SetRate(rate float64) { c.set(0, rate) }

func (c *Clock) set(d time.Duration, rate float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.base, c.real = c.now().Add(d), time.Now()
	if rate >= 0 {
		c.rate = rate
	}
	close(c.moved)
	c.moved = make(chan struct{})
}

// Wait blocks until the cloud's time reaches t or done is closed, and reports
// whether t was reached.
func (c *Clock) Wait(t time.Time, done <-chan struct{}) bool {
	for {
		c.mu.Lock()
		left, rate, moved := t.Sub(c.now()), c.rate, c.moved
		c.mu.Unlock()
		if left <= 0 {
			return true
		}
		var fire <-chan time.Time
		var timer *time.Timer
		if rate > 0 {
			timer = time.NewTimer(time.Duration(float64(left)/rate) + time.Millisecond)
			fire = timer.C
		}
		select {
		case <-fire:
		case <-moved:
		case <-done:
			if timer != nil {
				timer.Stop()
			}
			return false
		}
		if timer != nil {
			timer.Stop()
		}
	}
}
