package router

import "net/http"

// clings is the digest of the target that the request's cookie names; empty
// without one.
func (s *service) clings(r *http.Request) string {
	name := s.settings.Load().balance.Sticky
	if name == "" {
		return ""
	}
	cookie, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return cookie.Value
}

// acquireKnown takes the target that a cookie names, if it is one of those that
// are used and has room.
func (s *service) acquireKnown(digest string) *target {
	for _, t := range s.usable.Load().targets {
		if t.digest == digest && t.take() {
			return t
		}
	}
	return nil
}

// cling gives the client the cookie of its target, unless it has it.
func (x *exchange) cling(t *target, h http.Header) {
	name := x.service.settings.Load().balance.Sticky
	if name == "" || x.clings == t.digest {
		return
	}
	cookie := http.Cookie{
		Name: name, Value: t.digest, Path: x.route.Path,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: x.from.proto == "https",
	}
	h["Set-Cookie"] = append(h["Set-Cookie"][:len(h["Set-Cookie"]):len(h["Set-Cookie"])], cookie.String())
}
