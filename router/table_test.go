package router

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// naive is the contract of Route, word for word: an exact host before none,
// then the longest prefix that ends at a slash or at the path's end.
func naive(routes []Route, host, path string) (best *Route) {
	better := func(a, b *Route) bool {
		if (a.Host != "") != (b.Host != "") {
			return a.Host != ""
		}
		return len(a.Path) > len(b.Path)
	}
	for i := range routes {
		r := &routes[i]
		if r.Host != "" && r.Host != host || !strings.HasPrefix(path, r.Path) {
			continue
		}
		rest := path[len(r.Path):]
		if !strings.HasSuffix(r.Path, "/") && rest != "" && rest[0] != '/' {
			continue
		}
		if best == nil || better(r, best) {
			best = r
		}
	}
	return best
}

func TestTheLongestMatchWins(t *testing.T) {
	path := rapid.StringMatching(`(/[ab]{0,2}){1,5}/?`)
	host := rapid.SampledFrom([]string{"", "x", "y"})
	rapid.Check(t, func(t *rapid.T) {
		tab := &table{hosts: map[string]*paths{}, any: newPaths(), services: map[string]*service{}}
		var routes []Route
		seen := map[string]bool{}
		for range rapid.IntRange(0, 12).Draw(t, "routes") {
			r := Route{Host: host.Draw(t, "host"), Path: path.Draw(t, "prefix")}
			if key := r.Host + r.Path; !seen[key] {
				seen[key] = true
				routes = append(routes, r)
				tab.add(&route{Route: r})
			}
		}
		for range 8 {
			h, p := host.Draw(t, "request's host"), path.Draw(t, "path")
			want, got := naive(routes, h, p), tab.match(h, p)
			switch {
			case want == nil && got == nil:
			case want == nil || got == nil || got.Host != want.Host || got.Path != want.Path:
				t.Fatalf("host %q path %q: %+v, want %+v", h, p, got, want)
			}
		}
	})
}

func TestAPathThatClimbsIsSeenToLeaveItsPrefix(t *testing.T) {
	for _, c := range []struct {
		path, prefix string
		want         bool
	}{
		{"/a/b", "/", false},
		{"/a/../b", "/", false},
		{"/..", "/", true},
		{"/a/..", "/a", true},
		{"/a/b/../../c", "/a/", true},
		{"/a/b/../c", "/a/", false},
		{"/a...b/..c/d..", "/a...b/", false},
	} {
		if got := leaves(c.path, c.prefix); got != c.want {
			t.Errorf("leaves(%q, %q) = %v", c.path, c.prefix, got)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			tab := &table{hosts: map[string]*paths{}, any: newPaths(), services: map[string]*service{}}
			for i := range n {
				tab.add(&route{Route: Route{Host: fmt.Sprintf("host%d.localhost", i), Path: "/"}})
			}
			b.ReportAllocs()
			for b.Loop() {
				if tab.match("host7.localhost:8080", "/iiif/x/full/max/0/default.jpg") == nil {
					b.Fatal("no match")
				}
			}
		})
	}
}

func TestAnExactHostWinsOverTheLongestWildcardAndThatOverNone(t *testing.T) {
	tab := &table{hosts: map[string]*paths{}, wild: map[string]*paths{}, any: newPaths()}
	for _, r := range []Route{
		{Host: "a.b.example.com", Path: "/only"}, {Host: "*.b.example.com", Path: "/"}, {Host: "*.example.com", Path: "/"}, {Path: "/"},
	} {
		tab.add(&route{Route: r})
	}
	for at, want := range map[string]string{
		"a.b.example.com/only": "a.b.example.com", "a.b.example.com/else": "*.b.example.com", "A.B.Example.com:80/x": "*.b.example.com",
		"b.example.com/": "*.example.com", "x.y.example.com/": "*.example.com", "example.com/": "", "com/": "", "other.org/": "",
	} {
		host, path, _ := strings.Cut(at, "/")
		if got := tab.match(host, "/"+path); got == nil || got.Host != want {
			t.Errorf("%s leads to %v, want the route at %q", at, got, want)
		}
	}
}
