package scale

import (
	"encoding/binary"
	"math"
	"slices"
	"time"
)

// SlotLength is the grain of what is remembered for forecasts: one mean in each.
const SlotLength = 5 * time.Minute

const (
	slotsADay = int64(24 * time.Hour / SlotLength)
	// KeptDays bounds a past: four weeks and the day under way.
	KeptDays = 29
	// gap stands for a slot of which nothing is known.
	gap = math.MaxUint16
)

// Past is what a service needed, in tasks, in the slots of the last four weeks.
// What is not known is not in it. It is never changed: With gives a new one that
// shares all days but one with the old. One service's takes 16 KiB at most. It
// can be written as JSON.
type Past struct {
	// Days are in rising order.
	Days []Day `json:"days"`
}

// Day has the slots of one day, in UTC.
type Day struct {
	// Number counts the days since 1970.
	Number int64 `json:"day"`
	// Needs has two bytes for each slot: the upper 16 bits of the positive float32,
	// without its sign, which is exact for whole counts up to 512 and right to
	// 0.2 % above. 0xffff is a gap.
	Needs []byte `json:"needs"`
}

// SlotOf is the number of the slot that a time is in, since 1970.
func SlotOf(t time.Time) int64 {
	return divide(t.Unix(), int64(SlotLength/time.Second))
}

// slotStart is when a slot begins.
func slotStart(slot int64) time.Time {
	return time.Unix(slot*int64(SlotLength/time.Second), 0)
}

// divide rounds down, also below 0.
func divide(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// Sound gives the days of a past that was read from somewhere that are whole, in
// order, and no more than are kept.
func (h Past) Sound() Past {
	days := make([]Day, 0, len(h.Days))
	for _, d := range h.Days {
		if len(d.Needs) == int(2*slotsADay) {
			days = append(days, d)
		}
	}
	slices.SortStableFunc(days, func(a, b Day) int {
		if a.Number < b.Number {
			return -1
		}
		return int(min(a.Number-b.Number, 1))
	})
	days = slices.CompactFunc(days, func(a, b Day) bool { return a.Number == b.Number })
	return Past{Days: days[max(0, len(days)-KeptDays):]}
}

// With is the past with one slot more, or with another value in a slot. When it
// holds more than is kept, the day that is farthest from this one goes: a clock
// that was wrong for a while leaves nothing behind that would stay.
func (h Past) With(slot int64, need float64) Past {
	number := divide(slot, slotsADay)
	i, found := h.find(number)
	days := make([]Day, 0, min(len(h.Days)+1, KeptDays+1))
	days = append(days, h.Days[:i]...)
	fresh := Day{Number: number, Needs: make([]byte, 2*slotsADay)}
	if found {
		copy(fresh.Needs, h.Days[i].Needs)
	} else {
		for j := range fresh.Needs {
			fresh.Needs[j] = 0xff
		}
	}
	binary.LittleEndian.PutUint16(fresh.Needs[2*(slot-number*slotsADay):], encode(need))
	days = append(days, fresh)
	if found {
		i++
	}
	days = append(days, h.Days[i:]...)
	if len(days) > KeptDays {
		if first, last := number-days[0].Number, days[len(days)-1].Number-number; last > first {
			days = days[:len(days)-1]
		} else {
			days = days[1:]
		}
	}
	return Past{Days: days}
}

// At is what was needed in a slot, if that is known.
func (h Past) At(slot int64) (need float64, known bool) {
	number := divide(slot, slotsADay)
	i, found := h.find(number)
	if !found {
		return 0, false
	}
	code := binary.LittleEndian.Uint16(h.Days[i].Needs[2*(slot-number*slotsADay):])
	need = decode(code)
	if code == gap || !(need <= highest) {
		return 0, false
	}
	return need, true
}

// find is where a day is, or would be. Most pasts have no day missing.
func (h Past) find(number int64) (int, bool) {
	if n := len(h.Days); n > 0 {
		if i := int64(n-1) - (h.Days[n-1].Number - number); i >= 0 && i < int64(n) && h.Days[i].Number == number {
			return int(i), true
		}
	}
	return slices.BinarySearchFunc(h.Days, number, func(d Day, number int64) int {
		switch {
		case d.Number < number:
			return -1
		case d.Number > number:
			return 1
		}
		return 0
	})
}

// encode and decode are the compact form of one need.
func encode(need float64) uint16 {
	if !(need > 0) {
		return 0
	}
	bits := math.Float32bits(float32(min(need, highest)))
	return uint16((bits + 1<<14) >> 15)
}

func decode(code uint16) float64 {
	return float64(math.Float32frombits(uint32(code) << 15))
}
