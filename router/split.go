package router

import "net/http"

// split are the routes of several services at one host and path, which share
// its requests by their weights: two versions of a service, say.
type split struct {
	routes []*route
	total  uint64
}

func (s *split) add(r *route) {
	s.routes = append(s.routes, r)
	s.total += uint64(r.Weight)
}

// choose gives the route of one request: that of the target that a cookie
// names, else one by weight.
func (r *route) choose(request *http.Request, random func() uint64) *route {
	if r.split == nil {
		return r
	}
	for _, one := range r.split.routes {
		if one.Weight == 0 {
			continue // rolled back: nobody stays there
		}
		if known := one.service.clings(request); known != "" && one.service.knows(known) {
			return one
		}
	}
	at := random() % r.split.total
	for _, one := range r.split.routes {
		if at < uint64(one.Weight) {
			return one
		}
		at -= uint64(one.Weight)
	}
	return r
}

// knows tells whether one of the targets in use has the digest.
func (s *service) knows(digest string) bool {
	for _, t := range s.usable.Load().targets {
		if t.digest == digest {
			return true
		}
	}
	return false
}
