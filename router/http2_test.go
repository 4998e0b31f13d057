package router

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	grpchealth "google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// http2Client speaks HTTP/2 only: without TLS by prior knowledge.
func http2Client(t *testing.T, config *tls.Config) *http.Client {
	t.Helper()
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols, TLSClientConfig: config.Clone()}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// developmentTLS is a server's configuration and that of a client that takes it.
func developmentTLS(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	certificate, err := DevelopmentCertificate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	server = &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12}
	return server, &tls.Config{RootCAs: poolOf(certificate), ServerName: "localhost"}
}

// serveTLS adds a TLS listener to a served router and gives its address.
func (s *served) serveTLS(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.ServeTLS(l) }()
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	return l.Addr().String()
}

// h2cBackend is a target that speaks HTTP/2 without TLS.
func h2cBackend(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	b := httptest.NewUnstartedServer(h)
	b.Config.Protocols = &http.Protocols{}
	b.Config.Protocols.SetUnencryptedHTTP2(true)
	b.Start()
	t.Cleanup(b.Close)
	return b
}

func over(u Upstream, targets ...Target) Table {
	table := one(targets...)
	table.Routes[0].Upstream = u
	return table
}

func TestHTTP2IsSpokenToClientsAndToTargetsByChoice(t *testing.T) {
	say := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("body at the target: %v", err)
		}
		fmt.Fprintf(w, "%s %s %s", r.Proto, body, r.Header.Get("X-Forwarded-Proto"))
	}
	plain, h2c := backend(t, say), h2cBackend(t, say)
	server, client := developmentTLS(t)
	secure := httptest.NewUnstartedServer(http.HandlerFunc(say))
	secure.EnableHTTP2 = true
	secure.TLS = server.Clone()
	secure.StartTLS()
	t.Cleanup(secure.Close)
	s := serve(t, Options{TLS: server})
	tlsAddress := s.serveTLS(t)
	for _, c := range []struct {
		upstream Upstream
		target   *httptest.Server
		proto    string
	}{
		{Upstream{}, plain, "HTTP/1.1"},
		{Upstream{Protocol: H2C}, h2c, "HTTP/2.0"},
		{Upstream{Protocol: HTTPS, Insecure: true}, secure, "HTTP/1.1"},
		{Upstream{Protocol: H2, Insecure: true}, secure, "HTTP/2.0"},
	} {
		s.set(t, over(c.upstream, targetOf(string(c.upstream.Protocol)+"-1", c.target)))
		for _, from := range []struct{ what, url, proto string }{
			{"HTTP/1.1", "http://" + s.address, "http"},
			{"h2c", "http://" + s.address, "http"},
			{"h2", "https://" + tlsAddress, "https"},
			{"HTTP/1.1 in TLS", "https://" + tlsAddress, "https"},
		} {
			of := s.client
			switch from.what {
			case "h2c", "h2":
				of = http2Client(t, client)
			case "HTTP/1.1 in TLS":
				transport := &http.Transport{TLSClientConfig: client.Clone()}
				defer transport.CloseIdleConnections()
				of = &http.Client{Transport: transport}
			}
			answer, err := of.Post(from.url+"/", "text/plain", strings.NewReader("hello"))
			if err != nil {
				t.Fatalf("%s to %q: %v", from.what, c.upstream.Protocol, err)
			}
			got, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if want := c.proto + " hello " + from.proto; string(got) != want || err != nil {
				t.Errorf("%s to %q: %q (%v), want %q", from.what, c.upstream.Protocol, got, err, want)
			}
		}
	}
}

func TestCurlSpeaksHTTP2ToTheRouter(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed")
	}
	b := backend(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "seen") })
	server, _ := developmentTLS(t)
	s := serve(t, Options{TLS: server})
	tlsAddress := s.serveTLS(t)
	s.set(t, one(targetOf("1", b)))
	for _, arguments := range [][]string{
		{"--http2-prior-knowledge", "http://" + s.address},
		{"--http2", "--insecure", "https://" + tlsAddress},
	} {
		out, err := exec.CommandContext(t.Context(), curl, append([]string{"--silent", "--show-error", "--max-time", "10", "--write-out", " %{http_version}"}, arguments...)...).CombinedOutput()
		if err != nil || string(out) != "seen 2" {
			t.Errorf("curl %v: %q (%v)", arguments, out, err)
		}
	}
}

// echoService sends back what it gets, on a stream of both ways, and fails as
// it is told.
var echoService = grpc.ServiceDesc{
	ServiceName: "test.Echo",
	HandlerType: (*any)(nil),
	Streams: []grpc.StreamDesc{{
		StreamName: "Talk", ServerStreams: true, ClientStreams: true,
		Handler: func(_ any, stream grpc.ServerStream) error {
			in, _ := metadata.FromIncomingContext(stream.Context())
			if err := stream.SendHeader(metadata.Pairs("x-for", strings.Join(in["x-forwarded-for"], ","))); err != nil {
				return err
			}
			stream.SetTrailer(metadata.Pairs("x-sum", "all of it"))
			for {
				var message wrapperspb.StringValue
				if err := stream.RecvMsg(&message); errors.Is(err, io.EOF) {
					return nil
				} else if err != nil {
					return err
				}
				if message.Value == "fail" {
					return status.Error(codes.FailedPrecondition, "as you wish")
				}
				if err := stream.SendMsg(&message); err != nil {
					return err
				}
			}
		},
	}},
}

func grpcBackend(t *testing.T) (Target, *grpchealth.Server) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, states := grpc.NewServer(), grpchealth.NewServer()
	healthpb.RegisterHealthServer(server, states)
	server.RegisterService(&echoService, nil)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	return Target{ID: "grpc-" + l.Addr().String(), Zone: "a", Address: l.Addr().String()}, states
}

func grpcClient(t *testing.T, address string, config *tls.Config) *grpc.ClientConn {
	t.Helper()
	transport := insecure.NewCredentials()
	if config != nil {
		transport = credentials.NewTLS(config)
	}
	c, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(transport))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func talk(t *testing.T, ctx context.Context, c *grpc.ClientConn) grpc.ClientStream {
	t.Helper()
	stream, err := c.NewStream(ctx, &echoService.Streams[0], "/test.Echo/Talk")
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func TestGRPCPassesUnaryAndStreamedCallsWithTheirTrailers(t *testing.T) {
	target, states := grpcBackend(t)
	states.SetServingStatus("db", healthpb.HealthCheckResponse_NOT_SERVING)
	server, client := developmentTLS(t)
	s := serve(t, Options{TLS: server})
	tlsAddress := s.serveTLS(t)
	s.set(t, one(target)) // gRPC finds its protocol by itself
	for what, c := range map[string]*grpc.ClientConn{"h2c": grpcClient(t, s.address, nil), "h2": grpcClient(t, tlsAddress, client)} {
		answer, err := healthpb.NewHealthClient(c).Check(t.Context(), &healthpb.HealthCheckRequest{Service: "db"})
		if err != nil || answer.Status != healthpb.HealthCheckResponse_NOT_SERVING {
			t.Errorf("%s: check %v %v", what, answer, err)
		}
		if _, err := healthpb.NewHealthClient(c).Check(t.Context(), &healthpb.HealthCheckRequest{Service: "none"}); status.Code(err) != codes.NotFound {
			t.Errorf("%s: a call that the target refuses: %v", what, err)
		}
		stream := talk(t, t.Context(), c)
		for i := range 3 {
			// Each message is answered before the next is sent.
			if err := stream.SendMsg(wrapperspb.String(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
			var back wrapperspb.StringValue
			if err := stream.RecvMsg(&back); err != nil || back.Value != fmt.Sprint(i) {
				t.Fatalf("%s: message %d: %q %v", what, i, back.Value, err)
			}
		}
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if err := stream.RecvMsg(&wrapperspb.StringValue{}); !errors.Is(err, io.EOF) {
			t.Errorf("%s: end of the stream: %v", what, err)
		}
		if got := stream.Trailer()["x-sum"]; len(got) != 1 || got[0] != "all of it" {
			t.Errorf("%s: trailer %v", what, stream.Trailer())
		}
		if head, _ := stream.Header(); len(head["x-for"]) != 1 || head["x-for"][0] != "127.0.0.1" {
			t.Errorf("%s: X-Forwarded-For was %v at the target", what, head["x-for"])
		}
		stream = talk(t, t.Context(), c)
		_ = stream.SendMsg(wrapperspb.String("fail"))
		if err := stream.RecvMsg(&wrapperspb.StringValue{}); status.Code(err) != codes.FailedPrecondition || status.Convert(err).Message() != "as you wish" {
			t.Errorf("%s: a stream that fails: %v", what, err)
		}
	}
}

func TestTheRoutersOwnErrorsAreStatusesToGRPC(t *testing.T) {
	s := serve(t, Options{HoldTimeout: 20 * time.Millisecond})
	c := grpcClient(t, s.address, nil)
	check := func() error {
		_, err := healthpb.NewHealthClient(c).Check(t.Context(), &healthpb.HealthCheckRequest{})
		return err
	}
	if err := check(); status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "no service is routed") {
		t.Errorf("without a route: %v", err)
	}
	s.set(t, one())
	if err := check(); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), `service "web" had no target`) {
		t.Errorf("without a target: %v", err)
	}
	black := mute(t, "hole")
	table := one(black)
	table.Routes[0].Timeout = 30 * time.Millisecond
	s.set(t, table)
	if err := check(); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("from a target that says nothing: %v", err)
	}
}

func TestADrainEndsAStreamOfGRPCWhenItsTimeIsOver(t *testing.T) {
	target, _ := grpcBackend(t)
	s := serve(t, Options{})
	s.set(t, one(target))
	stream := talk(t, t.Context(), grpcClient(t, s.address, nil))
	if err := stream.SendMsg(wrapperspb.String("hello")); err != nil {
		t.Fatal(err)
	}
	var back wrapperspb.StringValue
	if err := stream.RecvMsg(&back); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Drain(ctx, target.ID); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the drain ended with %v", err)
	}
	if err := stream.RecvMsg(&back); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "the task stops") {
		t.Errorf("the stream ended with %v, want a status that the client tries again elsewhere", err)
	}
}

func TestAShutdownLetsTheStreamsOfHTTP2EndAndTakesNoMore(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-release
		_, _ = io.WriteString(w, "whole")
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := New(Options{})
	go func() { _ = r.Serve(l) }()
	if err := r.SetTable(one(targetOf("1", b))); err != nil {
		t.Fatal(err)
	}
	client := http2Client(t, nil)
	got := make(chan string, 1)
	go func() {
		answer, err := client.Get("http://" + l.Addr().String())
		if err != nil {
			got <- err.Error()
			return
		}
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body)
		got <- string(text)
	}()
	<-entered
	ended := make(chan error, 1)
	go func() { ended <- r.Shutdown(t.Context()) }()
	eventually(t, "the port is closed", func() bool {
		c, err := net.Dial("tcp", l.Addr().String())
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	close(release)
	if text := <-got; text != "whole" {
		t.Errorf("the stream in flight got %q", text)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
