package sim

import (
	"fmt"
	"strings"

	"github.com/xhit/go-str2duration/v2"
)

// ParseFaults reads a script of faults: one a line or separated by semicolons,
// "AT KIND [NAME] [FOR]", such as "2h host", "3h zone a 20m", "1h metrics web 5m",
// "1h cluster 2m". Lines that begin with # are comments.
func ParseFaults(text string) ([]Fault, error) {
	var faults []Fault
	for n, line := range strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == ';' }) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		f, err := parseFault(words)
		if err != nil {
			return nil, fmt.Errorf("fault %d, %q: %w", n+1, strings.TrimSpace(line), err)
		}
		faults = append(faults, f)
	}
	return faults, nil
}

func parseFault(words []string) (Fault, error) {
	at, err := str2duration.ParseDuration(words[0])
	if err != nil || at < 0 || len(words) < 2 {
		return Fault{}, fmt.Errorf(`it must be "AT KIND [NAME] [FOR]", such as "3h zone a 20m"`)
	}
	f := Fault{At: at, Kind: FaultKind(words[1])}
	rest := words[2:]
	if n := len(rest); n > 0 {
		if f.For, err = str2duration.ParseDuration(rest[n-1]); err == nil && f.For > 0 {
			rest = rest[:n-1]
		}
	}
	most := 0
	switch f.Kind {
	case HostDeath:
		f.For = 0
	case MetricOutage:
		most = 1
	case ClusterOutage:
	case ZoneLoss:
		most = 1
		if len(rest) == 0 {
			return f, fmt.Errorf("name the zone by its letter")
		}
	default:
		return f, fmt.Errorf("kind %q; allowed: %s, %s, %s, %s", f.Kind, HostDeath, ZoneLoss, MetricOutage, ClusterOutage)
	}
	if len(rest) > most {
		return f, fmt.Errorf("%q is not understood", rest[len(rest)-1])
	}
	if len(rest) > 0 {
		f.Name = rest[0]
	}
	if f.Kind != HostDeath && f.For <= 0 {
		return f, fmt.Errorf("say at its end for how long, such as 5m")
	}
	return f, nil
}

// outage tells whether something is out, for all or for one by name.
func (w *world) outage(kind FaultKind, name string) bool {
	return w.outages[string(kind)] > 0 || name != "" && w.outages[string(kind)+" "+name] > 0
}

// plan has the faults happen at their times.
func (w *world) plan(f Fault) {
	switch f.Kind {
	case HostDeath:
		w.at(f.At, func() {
			if ids := w.failing(""); len(ids) > 0 {
				w.failHost(ids[w.random.IntN(len(ids))])
			}
		})
	case ZoneLoss:
		w.at(f.At, func() { w.loseZone(f) })
	default:
		key := string(f.Kind)
		if f.Name != "" {
			key += " " + f.Name
		}
		w.at(f.At, func() { w.outages[key]++ })
		w.at(f.At+f.For, func() { w.outages[key]-- })
	}
}
