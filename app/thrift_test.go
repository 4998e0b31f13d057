package app

import (
	"context"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"plimsoll/router"
)

// looked are looks at a program a second apart: the share of a processor that it has
// used since the one before, and its router's requests.
type looked struct {
	share    float64
	requests uint64
	one      bool // wanted: it runs on one processor from then on
}

func TestOneProcessorIsUsedWhileItIsEnoughForTheRouter(t *testing.T) {
	for _, test := range []struct {
		name  string
		looks []looked
	}{
		{"a router that is busy, with work for less than one", []looked{{0.5, 20_000, true}, {0.6, 25_000, true}}},
		{"a program that works for something else", []looked{{0.5, 100, false}, {0.1, 0, false}}},
		{"a router with work for more than one", []looked{{1.6, 60_000, false}, {0.8, 20_000, false}}},
		{"an end of the requests", []looked{{0.5, 20_000, true}, {0.3, 499, false}}},
		{"a rate between the bounds", []looked{{0.1, 1_999, false}, {0.1, 2_000, true}, {0.1, 500, true}, {0.1, 499, false}, {0.1, 500, false}}},
		{"a share between the bounds", []looked{{0.76, 20_000, false}, {0.74, 20_000, true}, {0.89, 20_000, true}}},
		{"too much for one, which is not tried again for five seconds", []looked{
			{0.5, 20_000, true}, {0.95, 30_000, false},
			{0.5, 20_000, false}, {0.5, 20_000, false}, {0.5, 20_000, false}, {0.5, 20_000, false}, {0.5, 20_000, true},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var judge thrift
			var now work
			for i, l := range test.looks {
				now.at += time.Second
				now.used += time.Duration(l.share * float64(time.Second))
				now.requests += l.requests
				if got := judge.next(now); got != l.one {
					t.Errorf("look %d, %+v: one processor is %t", i+1, l, got)
				}
			}
		})
	}
}

func TestWhatNeedsMoreThanOneProcessorHasThemAllAtTheNextLook(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var judge thrift
		var now work
		for range rapid.IntRange(1, 50).Draw(t, "looks") {
			took := time.Duration(rapid.IntRange(1, 1000).Draw(t, "ms")) * time.Millisecond
			share := rapid.Float64Range(0, 3).Draw(t, "share")
			now.at += took
			now.used += time.Duration(share * float64(took))
			now.requests += rapid.Uint64Range(0, 50_000).Draw(t, "requests")
			if judge.next(now) && share > 0.91 {
				t.Fatalf("one processor after %.2f of one were used in %v", share, took)
			}
		}
	})
}

func TestTheProcessorsAreGivenBackWhenTheRouterEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		began := time.Now()
		var set []bool
		go new(thrift).run(ctx, func() work {
			at := time.Since(began)
			return work{at: at, used: at / 2, requests: uint64(at / time.Microsecond / 50)}
		}, func(one bool) { set = append(set, one) })
		time.Sleep(time.Minute)
		stop()
		synctest.Wait()
		if !slices.Equal(set, []bool{true, false}) {
			t.Errorf("one processor is set to %t, want once true, and false at the end", set)
		}
	})
}

func TestTheProgramsProcessorsCanBeSetToOneAndBack(t *testing.T) {
	all := runtime.GOMAXPROCS(0)
	defer setProcessors(false)
	setProcessors(true)
	if n := runtime.GOMAXPROCS(0); n != 1 {
		t.Errorf("%d processors are used, want 1", n)
	}
	setProcessors(false)
	if n := runtime.GOMAXPROCS(0); n != all {
		t.Errorf("%d processors are used, want %d as before", n, all)
	}
}

func TestOneRouterOfAProcessHasItsProcessorsInItsCharge(t *testing.T) {
	if runtime.GOMAXPROCS(0) == 1 {
		t.Skip("this machine has one processor: there is nothing to save")
	}
	t.Setenv("GOMAXPROCS", "")
	r := router.New(router.Options{})
	defer r.Close()
	first := beThrifty(r)
	if !thrifty.Load() {
		t.Error("the first router has not taken charge")
	}
	beThrifty(r)() // the second has nothing to give back
	if !thrifty.Load() {
		t.Error("the end of the second router took the charge from the first")
	}
	if first(); thrifty.Load() {
		t.Error("the end of the first router left it in charge")
	}
	t.Setenv("GOMAXPROCS", "2")
	if beThrifty(r); thrifty.Load() {
		t.Error("GOMAXPROCS is set, but the router takes charge")
	}
}
