package router

import (
	"net/http"
	"testing"
)

func TestARouterWithATokenAdmitsOnlyRequestsThatCarryIt(t *testing.T) {
	seen := make(chan http.Header, 1)
	b := backend(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header })
	s := serve(t, Options{Token: "right"})
	s.set(t, Table{Routes: []Route{{Path: "/", Service: "web"}}, Services: map[string][]Target{"web": {targetOf("1", b)}}})
	for token, want := range map[string]int{"": 401, "wrong": 401, "right": 200} {
		header := http.Header{}
		if token != "" {
			header.Set(TokenField, token)
		}
		if code, _ := s.do(t, "GET", "/", nil, header); code != want {
			t.Errorf("with the token %q the answer is %d, want %d", token, code, want)
		}
	}
	if got := (<-seen).Get(TokenField); got != "" {
		t.Errorf("the target was told the token %q", got)
	}
}
