package place_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"plimsoll"
	"plimsoll/place"
)

// halfFull gives a fleet of which every host is filled by chance, half on
// average, by tasks of many services and sizes.
func halfFull(b *testing.B, n int) *place.Fleet {
	b.Helper()
	f := place.NewFleet(hosts(n))
	r := rand.New(rand.NewPCG(1, uint64(n)))
	for i := range n {
		for range r.IntN(9) {
			err := f.Reserve(fmt.Sprintf("host-%05d", i), place.Request{
				Group:    fmt.Sprintf("service-%d", r.IntN(100)),
				Reserved: plimsoll.Resources{CPU: 128 * (1 + r.Int64N(6)), Memory: 64 * (1 + r.Int64N(20))},
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	return f
}

func request(i int) place.Request {
	return place.Request{
		Group:    fmt.Sprintf("service-%d", i%100),
		Reserved: plimsoll.Resources{CPU: 128 * int64(1+i%6), Memory: 64 * int64(1+i%20)},
	}
}

func perSize(b *testing.B, run func(b *testing.B, f *place.Fleet, requests []place.Request)) {
	for _, n := range []int{1000, 10_000} {
		b.Run(fmt.Sprintf("hosts=%d", n), func(b *testing.B) {
			f := halfFull(b, n)
			requests := make([]place.Request, 600)
			for i := range requests {
				requests[i] = request(i)
			}
			b.ReportAllocs()
			b.ResetTimer()
			run(b, f, requests)
		})
	}
}

func BenchmarkPick(b *testing.B) {
	perSize(b, func(b *testing.B, f *place.Fleet, requests []place.Request) {
		for i := 0; b.Loop(); i++ {
			if _, ok := f.Pick(requests[i%len(requests)]); !ok {
				b.Fatal("no room")
			}
		}
	})
}

// BenchmarkPickReserveRelease gives back what the call before took, so that
// each Pick comes after two changes that stay.
func BenchmarkPickReserveRelease(b *testing.B) {
	perSize(b, func(b *testing.B, f *place.Fleet, requests []place.Request) {
		var last string
		for i := 0; b.Loop(); i++ {
			r := requests[i%len(requests)]
			id, ok := f.Pick(r)
			if !ok {
				b.Fatal("no room")
			}
			if err := f.Reserve(id, r); err != nil {
				b.Fatal(err)
			}
			if i > 0 {
				f.Release(last, requests[(i-1)%len(requests)])
			}
			last = id
		}
	})
}

func BenchmarkClone(b *testing.B) {
	perSize(b, func(b *testing.B, f *place.Fleet, _ []place.Request) {
		for b.Loop() {
			f.Clone()
		}
	})
}
