package router

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestATagOfFabioOrOfPlimsollIsARoute(t *testing.T) {
	for tag, want := range map[string]Tagged{
		"urlprefix-shop.example.com/":                    {Route: Route{Host: "shop.example.com", Path: "/"}},
		"urlprefix-Shop.example.com/api strip=/api":      {Route: Route{Host: "shop.example.com", Path: "/api", Strip: true}},
		"urlprefix-/static":                              {Route: Route{Path: "/static"}},
		"urlprefix-:5432 proto=tcp pxyproto=true":        {Route: Route{TCP: 5432, Upstream: Upstream{Proxy: "v1"}}},
		"urlprefix-db.example.com/ proto=tcp+sni":        {Route: Route{Host: "db.example.com", TLS: TLSPassthrough}},
		"urlprefix-/ weight=0.25 allow=ip:10.0.0.0/8":    {Route: Route{Path: "/", Weight: 2500, Access: Access{Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}},
		"urlprefix-a.b/ proto=https tlsskipverify=true":  {Route: Route{Host: "a.b", Path: "/", Upstream: Upstream{Protocol: HTTPS, Insecure: true}}},
		".example.com/ port=8080 sticky=stay health=/up": {Route: Route{Host: "*.example.com", Path: "/", Balance: Balance{Sticky: "stay"}, Check: Check{Path: "/up"}}, Port: 8080},
		"*.example.com": {Route: Route{Host: "*.example.com", Path: "/"}},
	} {
		want.Route.Service = "web"
		got, err := ParseTag("web", tag)
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); err != nil || diff != "" {
			t.Errorf("%q: %v\n%s", tag, err, diff)
		}
	}
	for tag, want := range map[string]string{
		"urlprefix-":                  "names no host",
		"urlprefix-/ weight=2":        "share from 0 to 1",
		"urlprefix-/a strip=/b":       "strip=/b",
		"urlprefix-/ proto=ftp":       "ftp",
		"urlprefix-/ colour=red":      `"colour" is unknown`,
		"urlprefix-a:x/":              `port "x"`,
		"urlprefix-/a/../b":           "..",
		"urlprefix-/ deny=everybody":  "everybody",
		"urlprefix-x/ proto=https":    "server name",
		"urlprefix-/ balance=longest": "longest",
	} {
		if _, err := ParseTag("web", tag); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", tag, err, want)
		}
	}
}

func TestWhatTheWeightsOfTagsLeaveIsSharedByTheRest(t *testing.T) {
	routes := []Tagged{{Route: Route{Path: "/", Weight: 2000}}, {Route: Route{Path: "/"}}, {Route: Route{Path: "/"}}, {Route: Route{Path: "/x"}}}
	ShareOut(routes)
	for i, want := range []int{2000, 4000, 4000, wholeWeight} {
		if routes[i].Route.Weight != want {
			t.Errorf("route %d has weight %d, want %d", i, routes[i].Route.Weight, want)
		}
	}
}
