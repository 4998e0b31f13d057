package engine

import (
	"slices"

	"plimsoll"
)

// scaleIn stops that many of the service's current tasks: those that have been
// released first, then the unplaced, then those that run and are not healthy,
// then the rest of the unprotected; each so that the zones stay balanced, and of
// a zone the youngest.
// Protected tasks are spared, even if more of them run than are desired.
func (m *Machine) scaleIn(s *service, surplus int) {
	surplus -= m.countOut(s, surplus)
	var unplaced, released, ailing, placed []*task
	protected := 0
	for _, t := range s.tasks {
		switch {
		case !t.staying() || t.stale() || t.displaced():
		case t.LastStatus == plimsoll.StatusProvisioning:
			unplaced = append(unplaced, t)
		case t.Protected(m.now):
			protected++
		case t.released():
			released = append(released, t)
		case t.LastStatus == plimsoll.StatusRunning && !t.sound():
			ailing = append(ailing, t)
		default:
			placed = append(placed, t)
		}
	}
	victims := released[:min(len(released), surplus)]
	for _, t := range slices.Backward(unplaced) {
		if len(victims) < surplus {
			victims = append(victims, t)
		}
	}
	for _, list := range [][]*task{ailing, placed} {
		victims = append(victims, chooseVictims(s, list, surplus-len(victims), victims)...)
	}
	for _, t := range victims {
		m.stop(t, stopScheduler, s.scalingReason())
	}
	if len(victims) > 0 {
		m.sayTasks(s, "has stopped", "", victims)
	}
	spared := surplus - len(victims)
	if spared > 0 && spared != s.spared {
		m.say(s, "(service %s) was unable to scale in to %d tasks: %d tasks are protected; they go on until their protection ends.",
			s.Name, s.Desired, protected)
	}
	s.spared = spared
}

// chooseVictims picks n of the candidates, which are in order of creation: time
// and again the youngest of the zone with the most of the service's staying
// tasks, the going not among them; of zones with equally many, the zone whose
// youngest is the youngest.
func chooseVictims(s *service, candidates []*task, n int, going []*task) []*task {
	if n <= 0 {
		return nil
	}
	if n >= len(candidates) {
		return candidates
	}
	inZone := map[string]int{}
	for _, t := range s.tasks {
		if t.staying() && t.host != nil {
			inZone[t.Zone]++
		}
	}
	for _, t := range going {
		if t.host != nil {
			inZone[t.Zone]--
		}
	}
	byZone := map[string][]*task{}
	var zones []string
	for _, t := range candidates {
		if byZone[t.Zone] == nil {
			zones = append(zones, t.Zone)
		}
		byZone[t.Zone] = append(byZone[t.Zone], t)
	}
	victims := make([]*task, 0, n)
	for len(victims) < n {
		best := ""
		var youngest *task
		for _, z := range zones {
			list := byZone[z]
			if len(list) == 0 {
				continue
			}
			last := list[len(list)-1]
			if youngest == nil || inZone[z] > inZone[best] || inZone[z] == inZone[best] && last.Seq > youngest.Seq {
				best, youngest = z, last
			}
		}
		victims = append(victims, youngest)
		byZone[best] = byZone[best][:len(byZone[best])-1]
		inZone[best]--
	}
	return victims
}
