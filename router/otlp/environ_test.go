package otlp_test

import (
	"strings"
	"testing"
	"time"

	"plimsoll/router/otlp"
)

func TestTheEnvironmentIsReadAsOpenTelemetrySays(t *testing.T) {
	for name, c := range map[string]struct {
		flag     string
		share    float64
		environ  map[string]string
		endpoint string
		sampled  float64
		wrong    string
	}{
		"nothing is no tracing":     {share: -1},
		"a flag":                    {flag: "http://c:4318", share: -1, endpoint: "http://c:4318/v1/traces", sampled: 1},
		"a flag with a path":        {flag: "http://c:4318/base/", share: 0.1, endpoint: "http://c:4318/base/v1/traces", sampled: 0.1},
		"the environment":           {share: -1, environ: map[string]string{"ENDPOINT": "https://c/x"}, endpoint: "https://c/x/v1/traces", sampled: 1},
		"traces' own, as it is":     {share: -1, environ: map[string]string{"ENDPOINT": "http://c", "TRACES_ENDPOINT": "http://d/spans"}, endpoint: "http://d/spans", sampled: 1},
		"the flag wins":             {flag: "http://f", share: -1, environ: map[string]string{"ENDPOINT": "http://c"}, endpoint: "http://f/v1/traces", sampled: 1},
		"off":                       {share: -1, environ: map[string]string{"ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "true"}},
		"no exporter":               {share: -1, environ: map[string]string{"ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"}},
		"a ratio":                   {share: -1, environ: map[string]string{"ENDPOINT": "http://c", "OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}, endpoint: "http://c/v1/traces", sampled: 0.25},
		"only what others began":    {share: -1, environ: map[string]string{"ENDPOINT": "http://c", "OTEL_TRACES_SAMPLER": "parentbased_always_off"}, endpoint: "http://c/v1/traces"},
		"another sampler":           {share: -1, environ: map[string]string{"ENDPOINT": "http://c", "OTEL_TRACES_SAMPLER": "jaeger_remote"}, wrong: "--otlp-sample"},
		"no URL":                    {flag: "collector:4318", share: -1, wrong: "http://127.0.0.1:4318"},
		"gRPC":                      {share: -1, environ: map[string]string{"ENDPOINT": "http://c", "PROTOCOL": "grpc"}, wrong: "http/protobuf"},
		"a bad time":                {share: -1, environ: map[string]string{"ENDPOINT": "http://c", "TIMEOUT": "10s"}, wrong: "milliseconds"},
		"a bad header, not printed": {share: -1, environ: map[string]string{"ENDPOINT": "http://c", "HEADERS": "=topsecret"}, wrong: "HEADERS"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := otlp.Configure(func(name string) string {
				if v := c.environ[name]; v != "" {
					return v
				}
				return c.environ[strings.TrimPrefix(name, "OTEL_EXPORTER_OTLP_")]
			}, c.flag, c.share)
			if c.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), c.wrong) || strings.Contains(err.Error(), "topsecret") {
					t.Errorf("error %v, want one that names %q", err, c.wrong)
				}
				return
			}
			if err != nil || got.Endpoint != c.endpoint || got.Share != c.sampled {
				t.Errorf("%q, %v, %v; want %q, %v", got.Endpoint, got.Share, err, c.endpoint, c.sampled)
			}
		})
	}
	got, err := otlp.Configure(func(name string) string {
		return map[string]string{
			"OTEL_EXPORTER_OTLP_HEADERS": "x-key=a%20b, other=c", "OTEL_EXPORTER_OTLP_TIMEOUT": "1500", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
			"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test,service.name=no", "OTEL_SERVICE_NAME": "edge",
		}[name]
	}, "http://c", -1)
	if err != nil || got.Header.Get("X-Key") != "a b" || got.Header.Get("Other") != "c" || got.Timeout != 1500*time.Millisecond || !got.Gzip ||
		got.Resource["service.name"] != "edge" || got.Resource["deployment.environment"] != "test" {
		t.Errorf("%+v, %v", got, err)
	}
}
