package auth

import (
	"sync"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/clock"
)

// limiter holds one token bucket per key, in memory. A full bucket is forgotten; while more keys than max are in use,
// further ones share one bucket, so that neither memory nor guesses grow with the number of attackers.
type limiter struct {
	clock clock.Clock
	burst float64
	every time.Duration // until one more
	max   int

	mu      sync.Mutex
	buckets map[string]*bucket
}

// overflow is the key of the shared bucket.
const overflow = "\x00overflow"

type bucket struct {
	left float64
	at   time.Time
}

func newLimiter(c clock.Clock, burst int, every time.Duration) *limiter {
	return &limiter{clock: c, burst: float64(burst), every: every, max: 10_000, buckets: map[string]*bucket{}}
}

// take returns 0 if one more is allowed for key now, otherwise how long to wait.
func (l *limiter) take(key string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(key)
	if b.left >= 1 {
		b.left--
		return 0
	}
	return time.Duration((1 - b.left) * float64(l.every))
}

// giveBack undoes a take.
func (l *limiter) giveBack(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(key)
	b.left = min(l.burst, b.left+1)
}

// bucket returns the bucket of key as of now.
func (l *limiter) bucket(key string) *bucket {
	now := l.clock.Now()
	b := l.buckets[key]
	if b == nil && len(l.buckets) >= l.max {
		for k, old := range l.buckets {
			if l.fill(old, now); old.left >= l.burst {
				delete(l.buckets, k)
			}
		}
		if len(l.buckets) >= l.max {
			key = overflow
			b = l.buckets[key]
		}
	}
	if b == nil {
		b = &bucket{left: l.burst, at: now}
		l.buckets[key] = b
	}
	l.fill(b, now)
	return b
}

func (l *limiter) fill(b *bucket, now time.Time) {
	if d := now.Sub(b.at); d > 0 {
		b.left = min(l.burst, b.left+float64(d)/float64(l.every))
	}
	b.at = now
}
