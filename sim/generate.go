package sim

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// generator makes one kind of trace. Its parameters have defaults; seconds of
// the curve's points are a minute apart, or those that the shape needs.
type generator struct {
	words    string
	defaults map[string]float64
	rate     func(g *generated, at float64) float64
}

// generated is a trace in the making.
type generated struct {
	p      map[string]float64
	random *rand.Rand
	level  float64
}

// The parameters that every generator has: the least and the greatest rate per
// second, the noise as a share of the rate, the length in days, and the seconds
// between two points.
var shared = map[string]float64{"low": 10, "peak": 100, "noise": 0.02, "days": 1, "every": 60}

func generators() map[string]generator {
	return map[string]generator{
		"diurnal": {"a day's wave, highest at two in the afternoon", map[string]float64{"days": 7}, func(g *generated, at float64) float64 {
			return g.day(at)
		}},
		"weekly": {"the same, with weekends at a share of it", map[string]float64{"days": 14, "weekend": 0.4}, func(g *generated, at float64) float64 {
			if day := int(at/86400) % 7; day >= 5 {
				return g.p["low"] + (g.day(at)-g.p["low"])*g.p["weekend"]
			}
			return g.day(at)
		}},
		"spike": {"quiet, and every so many seconds a spike that lasts so many", map[string]float64{"period": 7200, "width": 300, "every": 10}, func(g *generated, at float64) float64 {
			if math.Mod(at+g.p["period"]/2, g.p["period"]) < g.p["width"] {
				return g.p["peak"]
			}
			return g.p["low"]
		}},
		"ramp": {"up and down on straight lines, each so many seconds long", map[string]float64{"period": 14400, "every": 10}, func(g *generated, at float64) float64 {
			share := math.Mod(at, 2*g.p["period"]) / g.p["period"]
			return g.p["low"] + (g.p["peak"]-g.p["low"])*(1-math.Abs(1-share))
		}},
		"walk": {"a random walk by steps of a share of the range", map[string]float64{"stride": 0.02}, func(g *generated, _ float64) float64 {
			g.level = min(1, max(0, g.level+g.p["stride"]*g.random.NormFloat64()))
			return g.p["low"] + (g.p["peak"]-g.p["low"])*g.level
		}},
		"batch": {"nothing, and every so many seconds work that comes for so many", map[string]float64{"low": 0, "period": 3600, "width": 900, "every": 10}, func(g *generated, at float64) float64 {
			if math.Mod(at+g.p["period"]/2, g.p["period"]) < g.p["width"] {
				return g.p["peak"]
			}
			return g.p["low"]
		}},
		"constant": {"always the peak", map[string]float64{"noise": 0.1, "every": 10}, func(g *generated, _ float64) float64 { return g.p["peak"] }},
	}
}

func (g *generated) day(at float64) float64 {
	wave := (1 + math.Cos(2*math.Pi*(at-14*3600)/86400)) / 2
	return g.p["low"] + (g.p["peak"]-g.p["low"])*wave
}

// Generators are the names of the traces that can be made.
func Generators() []string { return slices.Sorted(maps.Keys(generators())) }

// IsGenerator tells whether a text names a generator, with or without
// parameters, rather than a file.
func IsGenerator(text string) bool {
	name, _, _ := strings.Cut(text, ":")
	_, ok := generators()[name]
	return ok
}

// Generate makes a trace from a text such as "spike:peak=500,period=3600". It
// has the column requests_per_second, which serves for messages too.
func Generate(text string, seed uint64) (Trace, error) {
	name, rest, _ := strings.Cut(text, ":")
	gen, ok := generators()[name]
	if !ok {
		return Trace{}, fmt.Errorf("there is no generator %q; allowed: %s", name, strings.Join(Generators(), ", "))
	}
	g := generated{p: maps.Clone(shared), random: rand.New(rand.NewPCG(seed, 1)), level: 0.5}
	maps.Copy(g.p, gen.defaults)
	for _, pair := range strings.FieldsFunc(rest, func(r rune) bool { return r == ',' }) {
		key, value, _ := strings.Cut(pair, "=")
		number, err := strconv.ParseFloat(value, 64)
		if _, known := g.p[key]; !known {
			return Trace{}, fmt.Errorf("generator %q has no parameter %q; allowed: %s", name, key, strings.Join(slices.Sorted(maps.Keys(g.p)), ", "))
		}
		if err != nil || !(number >= 0 && number <= mostRate) {
			return Trace{}, fmt.Errorf("generator %q: parameter %q is %q; allowed: a number from 0 to %g", name, key, value, float64(mostRate))
		}
		g.p[key] = number
	}
	length := g.p["days"] * 86400
	if every := g.p["every"]; every < 1 || length < every || length/every > mostRows || g.p["peak"] < g.p["low"] || g.p["period"] == 0 && gen.defaults["period"] != 0 {
		return Trace{}, fmt.Errorf("generator %q: every=%g, days=%g, low=%g, peak=%g, period=%g make no trace: every is at least 1, no longer than the days are, and peak not under low",
			name, every, g.p["days"], g.p["low"], g.p["peak"], g.p["period"])
	}
	var c Curve
	for at := 0.0; at <= length; at += g.p["every"] {
		rate := gen.rate(&g, at)
		// Uniform, so that a noise of 0.1 stays within 10 %.
		rate *= 1 + g.p["noise"]*(2*g.random.Float64()-1)
		c.times = append(c.times, time.Duration(at*float64(time.Second)))
		c.rates = append(c.rates, max(0, rate))
	}
	return Trace{Columns: map[string]Curve{Requests: c}}, nil
}
