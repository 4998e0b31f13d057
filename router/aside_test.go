package router

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

func TestWhatATargetDoesNotSpeakSaysNothingAgainstIt(t *testing.T) {
	plain, h2c := naming(t, "plain"), h2cBackend(t, func(http.ResponseWriter, *http.Request) {})
	server, _ := developmentTLS(t)
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.TLS = &tls.Config{Certificates: server.Certificates, NextProtos: []string{"http/1.1"}}
	secure.StartTLS()
	t.Cleanup(secure.Close)
	for _, c := range []struct {
		upstream Upstream
		target   *httptest.Server
		said     string
	}{
		{Upstream{}, plain, "it may not speak HTTP/2"},
		{Upstream{Protocol: HTTPS, Insecure: true}, secure, "it may not speak HTTP/2"},
		{Upstream{Protocol: H2C}, h2c, "it may not speak HTTP/1.1"},
	} {
		s := serve(t, Options{})
		s.set(t, over(c.upstream, targetOf("1", c.target)))
		s.healthy(t, "web", 1)
		calls := healthpb.NewHealthClient(grpcClient(t, s.address, nil))
		for range 2 * (Health{}).withDefaults().EjectAfter {
			said := ""
			if c.upstream.Protocol == H2C {
				a := s.dial(t)
				a.say(t, switching)
				var code int
				if code, said = a.answer(t); code != http.StatusBadGateway {
					t.Errorf("%v: %d %s, want 502", c.upstream, code, said)
				}
			} else {
				_, err := calls.Check(t.Context(), &healthpb.HealthCheckRequest{})
				if said = status.Convert(err).Message(); status.Code(err) != codes.Unavailable {
					t.Errorf("%v: %v, want Unavailable", c.upstream, err)
				}
			}
			if !strings.Contains(said, c.said) {
				t.Errorf("%v: %q does not say that %s", c.upstream, said, c.said)
			}
		}
		if state := s.Targets("web")[0]; !state.Healthy || len(state.Failures) == 0 {
			t.Errorf("%v: %+v: want it healthy, and its failures counted", c.upstream, state)
		}
	}
}

func TestWhereCallsOfGRPCAreAnsweredThoseThatFailAreHeldAgainstATarget(t *testing.T) {
	s := serve(t, Options{})
	speaks, _ := grpcBackend(t)
	s.set(t, one(speaks))
	calls := healthpb.NewHealthClient(grpcClient(t, s.address, nil))
	if _, err := calls.Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
		t.Fatal(err)
	}
	s.set(t, one(speaks, targetOf("other", naming(t, "plain"))))
	s.healthy(t, "web", 2)
	eventually(t, "the target that speaks another protocol is left out", func() bool {
		_, _ = calls.Check(t.Context(), &healthpb.HealthCheckRequest{}) // of either
		for _, state := range s.Targets("web") {
			if state.ID == "other" {
				return !state.Healthy
			}
		}
		return false
	})
}
