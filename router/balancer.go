package router

// pick is the least loaded of two targets chosen at random: within a constant
// of the best balance without looking at them all (the power of two choices,
// Mitzenmacher 2001). Targets in skip are left out. nil if none is left.
func pick(targets []*target, skip []*target, random func() uint64) *target {
	if len(skip) > 0 {
		targets = without(targets, skip)
	}
	switch n := uint64(len(targets)); n {
	case 0:
		return nil
	case 1:
		return targets[0]
	default:
		i := random() % n
		j := (i + 1 + random()%(n-1)) % n
		a, b := targets[i], targets[j]
		if b.load() < a.load() {
			return b
		}
		return a
	}
}

func without(targets, skip []*target) []*target {
	left := make([]*target, 0, len(targets))
	for _, t := range targets {
		skipped := false
		for _, s := range skip {
			skipped = skipped || s == t
		}
		if !skipped {
			left = append(left, t)
		}
	}
	return left
}
