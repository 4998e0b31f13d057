package otlp

import (
	"maps"
	"slices"
	"strings"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"plimsoll/router"
)

// message is a batch as it goes out. TracesData has the form of
// ExportTraceServiceRequest, whose generated type would bring gRPC with it.
func (e *Exporter) message(batch []*router.Span) *tracepb.TracesData {
	resource := &resourcepb.Resource{}
	for _, name := range slices.Sorted(maps.Keys(e.o.Resource)) {
		resource.Attributes = append(resource.Attributes, words(name, e.o.Resource[name]))
	}
	spans := make([]*tracepb.Span, len(batch))
	for i, s := range batch {
		spans[i] = spanOf(s)
	}
	return &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource: resource,
		ScopeSpans: []*tracepb.ScopeSpans{{
			Scope: &commonpb.InstrumentationScope{Name: "plimsoll/router", Version: e.o.Version},
			Spans: spans,
		}},
	}}}
}

// methods that are named as they are; any other could be as many as there are
// words.
var methods = []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "QUERY"}

// spanOf follows OpenTelemetry's conventions for servers of HTTP.
func spanOf(s *router.Span) *tracepb.Span {
	method, name := s.Method, s.Method
	if !slices.Contains(methods, method) {
		method, name = "_OTHER", "HTTP"
	}
	began := uint64(s.Began.UnixNano())
	out := &tracepb.Span{
		TraceId: s.Trace[:], SpanId: s.ID[:], TraceState: s.State,
		Name: name + " " + s.Route, Kind: tracepb.Span_SPAN_KIND_SERVER,
		StartTimeUnixNano: began, EndTimeUnixNano: began + uint64(max(0, s.Took)),
		Flags:  1, // sampled
		Status: &tracepb.Status{},
		Attributes: []*commonpb.KeyValue{
			words("http.request.method", method), words("url.scheme", s.Scheme), words("url.path", s.Path),
			words("http.route", s.Route), words("server.address", s.Host), words("network.protocol.version", s.Proto),
			words("plimsoll.service", s.Service), number("plimsoll.attempts", s.Attempts),
		},
	}
	if s.Parent != [8]byte{} {
		out.ParentSpanId = s.Parent[:]
	}
	optional := [][2]string{{"client.address", s.Client}, {"user_agent.original", s.Agent}, {"plimsoll.task", s.Task}, {"error.type", s.Failure}}
	if method == "_OTHER" {
		optional = append(optional, [2]string{"http.request.method_original", s.Method})
	}
	for _, a := range optional {
		if a[1] != "" {
			out.Attributes = append(out.Attributes, words(a[0], a[1]))
		}
	}
	if s.Status > 0 {
		out.Attributes = append(out.Attributes, number("http.response.status_code", s.Status))
	}
	if s.Status >= 500 {
		out.Status.Code = tracepb.Status_STATUS_CODE_ERROR
		out.Status.Message = s.Failure
	}
	return out
}

func words(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: strings.ToValidUTF8(value, "?")}}}
}

func number(key string, value int) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: int64(value)}}}
}
