package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"plimsoll/api"
	"plimsoll/control"
)

// scrape gives the lines of /metrics without the help, and without the version
// of Go.
func scrape(h http.Handler) string {
	var out strings.Builder
	for line := range strings.Lines(ask(h, http.MethodGet, "/metrics", "").Body.String()) {
		if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "plimsoll_build_info") {
			out.WriteString(line)
		}
	}
	return out.String()
}

func TestMetricsShowTheState(t *testing.T) {
	l := newLoop()
	l.decide("7.5 / 4 = 2")
	h := handler(t, options(l))
	golden(t, "metrics.txt", scrape(h))
	if got := ask(h, http.MethodGet, "/metrics", "").Body.String(); !strings.Contains(got, `version="1.2.3"`) {
		t.Errorf("no version in %s", got)
	}
}

func TestUnknownDemandIsAbsentAndNotZero(t *testing.T) {
	l := newLoop()
	h := handler(t, options(l))
	if !strings.Contains(scrape(h), `plimsoll_service_demand{service="web"} 7.5`) {
		t.Fatalf("no demand of web in\n%s", scrape(h))
	}
	l.step(func(s *control.State) { s.Plan.Verdicts[1].Demand = nil })
	if strings.Contains(scrape(h), "plimsoll_service_demand") {
		t.Errorf("demand that is not known is shown:\n%s", scrape(h))
	}
}

func TestMetricsAreConsistentByTheirDescription(t *testing.T) {
	o := options(newLoop())
	registry := prometheus.NewPedanticRegistry()
	o.Registry = registry
	handler(t, o)
	if _, err := registry.Gather(); err != nil {
		t.Error(err)
	}
}

func TestTwoRunInOneProcessOnRegistriesOfTheirOwn(t *testing.T) {
	one, other := newLoop(), newLoop()
	other.step(func(s *control.State) { s.Cluster.Name = "other" })
	first, second := handler(t, options(one)), handler(t, options(other))
	for want, h := range map[string]http.Handler{`"cluster": "shop"`: first, `"cluster": "other"`: second} {
		if got := ask(h, http.MethodGet, "/v1/status", "").Body.String(); !strings.Contains(got, want) {
			t.Errorf("status %s, want %s", got, want)
		}
	}
	o := options(one)
	registry := prometheus.NewRegistry()
	o.Registry = registry
	handler(t, o)
	if _, err := api.New(o); err == nil {
		t.Error("two handlers share a registry without an error")
	}
}
