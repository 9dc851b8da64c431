package stats

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// fine is the number of bits by which a power of two is divided: buckets are 1/32 of their value wide.
const fine = 5

// Histogram counts times of any size within 3 % of their value. The zero value is empty and ready, and safe for concurrent use.
type Histogram struct {
	counts [(64 - fine) << fine]atomic.Int64
}

// Add counts one time; what is below zero counts as zero.
func (h *Histogram) Add(d time.Duration) { h.counts[bucket(uint64(max(d, 0)))].Add(1) }

// Count returns how many times were counted.
func (h *Histogram) Count() (n int64) {
	for i := range h.counts {
		n += h.counts[i].Load()
	}
	return n
}

// Quantile returns the time below or at which the share q lies, as the upper end of its bucket; 0 if there are none.
func (h *Histogram) Quantile(q float64) time.Duration {
	total := h.Count()
	if total == 0 {
		return 0
	}
	left := int64(rank(int(total), q))
	for i := range h.counts {
		if left -= h.counts[i].Load(); left <= 0 {
			return time.Duration(upper(i))
		}
	}
	return 0
}

// bucket returns the place of a value. Values below 2^fine have one each; above, each power of two has 2^fine of them.
func bucket(v uint64) int {
	shift := max(0, bits.Len64(v)-fine-1)
	return shift<<fine + int(v>>shift)
}

// upper returns the largest value in a bucket.
func upper(i int) uint64 {
	shift := max(0, i>>fine-1)
	return uint64(i-shift<<fine+1)<<shift - 1
}
