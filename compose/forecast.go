package compose

import (
	"slices"
	"time"

	"go.yaml.in/yaml/v4"
)

// Bounds of a season: what the history's grain and length can show.
const (
	seasonGrain    = 5 * time.Minute
	shortestSeason = time.Hour
	longestSeason  = 14 * 24 * time.Hour
	mostSeasons    = 4
)

// check has the rules of a forecast, and fills in the seasons.
func (f *Forecast) check(c check, triggers []Trigger) {
	if f == nil {
		return
	}
	jobs := func(t Trigger) bool { return t.Mode == "job" }
	switch {
	case len(triggers) == 0:
		c.at(c.node, "a forecast needs triggers, whose past it is made from; add triggers, or remove forecast")
	case !slices.ContainsFunc(triggers, func(t Trigger) bool { return !jobs(t) }):
		c.at(c.node, "all triggers are of mode job, which starts a task for each message and none ahead; remove forecast")
	}
	if f.Seasons == nil {
		f.Seasons = []time.Duration{24 * time.Hour, 7 * 24 * time.Hour}
		return
	}
	list := c.node.get("seasons")
	if list == nil || list.kind != yaml.SequenceNode || len(list.items) != len(f.Seasons) {
		return
	}
	if len(f.Seasons) > mostSeasons {
		c.at(list, "found %d seasons, allowed: at most %d", len(f.Seasons), mostSeasons)
	}
	for i, season := range f.Seasons {
		item := list.items[i]
		switch {
		case season < shortestSeason || season > longestSeason || season%seasonGrain != 0:
			c.at(item, "found %s, allowed: a multiple of 5m from 1h to 336h", item.text)
		case season <= 2*f.Lead:
			c.at(item, "found %s, allowed: over twice the lead, which is %s", item.text, f.Lead)
		case slices.Contains(f.Seasons[:i], season):
			c.at(item, "the season %s is there twice; remove one", item.text)
		}
	}
}
