package app

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/router"
)

// still is a cluster in which nothing changes.
type still plimsoll.Cluster

func (s still) Snapshot(context.Context) (plimsoll.Cluster, error) { return plimsoll.Cluster(s), nil }

func TestARouterAloneTellsItsFiguresToThoseWhoHaveTheToken(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer backend.Close()
	target := netip.MustParseAddrPort(strings.TrimPrefix(backend.URL, "http://"))
	cluster := plimsoll.Cluster{
		Services: []plimsoll.Service{{Name: "shop", Tags: map[string]string{"plimsoll:route": "/"}}},
		Tasks: []plimsoll.Task{{
			ARN: "arn:aws:ecs:us-east-1:1:task/c/t1", Service: "shop", LastStatus: plimsoll.StatusRunning, DesiredStatus: plimsoll.StatusRunning,
			Endpoints: []plimsoll.Endpoint{{ContainerPort: 80, Host: target.Addr().String(), Port: int(target.Port())}},
		}},
	}
	log := slog.New(slog.DiscardHandler)
	table, err := newRouted(nil, log, false)
	if err != nil {
		t.Fatal(err)
	}
	printed, out := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		o := RouteOptions{Router: "127.0.0.1:0", Metrics: "127.0.0.1:0", Token: "let-me-in", Version: "1.2.3", Drain: time.Second, Out: out, Log: log}
		r := &routing{router: router.New(router.Options{}), edge: &edge{log: log}, table: table, told: make(chan struct{}, 1), o: o}
		ended <- r.serve(ctx, cluster, still(cluster), nil)
		_ = out.Close()
	}()
	addresses := addressesOf(t, printed, 2)
	go func() { _, _ = io.Copy(io.Discard, printed) }()

	for range 3 {
		if code, body := ask(t, addresses[0]+"/", ""); code != http.StatusOK {
			t.Fatalf("the router answers %d %s", code, body)
		}
	}
	if code, _ := ask(t, addresses[1], ""); code != http.StatusUnauthorized {
		t.Errorf("without the token the metrics answer %d", code)
	}
	code, text := ask(t, addresses[1], "let-me-in")
	// A request is counted just after its client has the answer.
	for range 2000 {
		if strings.Contains(text, `plimsoll_router_route_answers_total{class="2xx",route="/",service="shop"} 3`) {
			break
		}
		code, text = ask(t, addresses[1], "let-me-in")
	}
	if code != http.StatusOK {
		t.Fatalf("the metrics answer %d %s", code, text)
	}
	for _, line := range []string{
		`plimsoll_router_requests_total{service="shop"} 3`,
		`plimsoll_router_target_requests_total{service="shop",task="t1"} 3`,
		`plimsoll_router_request_seconds_count{service="shop"} 3`,
		`plimsoll_router_route_answers_total{class="2xx",route="/",service="shop"} 3`,
		`plimsoll_router_target_request_seconds_count{service="shop",task="t1"} 3`,
		`version="1.2.3"`,
	} {
		if !strings.Contains(text, line) {
			t.Errorf("the metrics have no %q:\n%s", line, text)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(addresses[1], "http://"), "/metrics")); err == nil {
		_ = c.Close()
		t.Error("the metrics still answer when the router has ended")
	}
}

// addressesOf reads so many addresses from what a program prints.
func addressesOf(t *testing.T, from io.Reader, n int) []string {
	t.Helper()
	var text strings.Builder
	buffer := make([]byte, 1024)
	for {
		if all := regexp.MustCompile(`http://\S+`).FindAllString(text.String(), -1); len(all) == n {
			return all
		}
		got, err := from.Read(buffer)
		if err != nil {
			t.Fatalf("%v after %q", err, &text)
		}
		text.Write(buffer[:got])
	}
}

func ask(t *testing.T, url, token string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestTheMetricsOfARouterThatIsOpenToAllAreNot(t *testing.T) {
	err := Route(t.Context(), RouteOptions{Platform: platformECS, Router: "0.0.0.0:8080", Open: true, Metrics: "0.0.0.0:9480"})
	if err == nil || !strings.Contains(err.Error(), "--metrics 0.0.0.0:9480") || strings.Contains(err.Error(), "--router") {
		t.Errorf("refused as %v", err)
	}
}
