package otlp

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// tracesPath is what a base URL is followed by.
const tracesPath = "v1/traces"

// Config is what flags and OpenTelemetry's environment variables say. An empty
// Endpoint of its Options is no tracing.
type Config struct {
	Options
	// Share is the share of the traces that begin at the router that are sampled.
	Share float64
}

// Configure reads the environment as OpenTelemetry's SDKs do. base, a collector's
// URL, and share, if not under 0, come from flags and win.
func Configure(getenv func(string) string, base string, share float64) (c Config, err error) {
	off := strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") || getenv("OTEL_TRACES_EXPORTER") == "none"
	switch {
	case base != "":
		c.Endpoint = below(base)
	case off:
		return c, nil
	case getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "":
		c.Endpoint = getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	case getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "":
		c.Endpoint = below(getenv("OTEL_EXPORTER_OTLP_ENDPOINT"))
	default:
		return c, nil
	}
	if err := checkEndpoint(c.Endpoint); err != nil {
		return c, err
	}
	of := func(name string) string {
		return cmp.Or(getenv("OTEL_EXPORTER_OTLP_TRACES_"+name), getenv("OTEL_EXPORTER_OTLP_"+name))
	}
	if p := of("PROTOCOL"); p != "" && p != "http/protobuf" {
		return c, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q; allowed: \"http/protobuf\"; give a collector's port for it, usually 4318", p)
	}
	switch z := of("COMPRESSION"); z {
	case "", "none":
	case "gzip":
		c.Gzip = true
	default:
		return c, fmt.Errorf("OTEL_EXPORTER_OTLP_COMPRESSION is %q; allowed: \"none\", \"gzip\"", z)
	}
	if text := of("TIMEOUT"); text != "" {
		ms, err := strconv.Atoi(text)
		if err != nil || ms <= 0 {
			return c, fmt.Errorf("OTEL_EXPORTER_OTLP_TIMEOUT is %q; allowed: milliseconds, 1 or more", text)
		}
		c.Timeout = time.Duration(ms) * time.Millisecond
	}
	if err := c.secure(of("CERTIFICATE")); err != nil {
		return c, err
	}
	fields, err := pairs("OTEL_EXPORTER_OTLP_HEADERS", of("HEADERS"))
	if err != nil {
		return c, err
	}
	c.Header = http.Header{}
	for name, value := range fields {
		c.Header.Set(name, value)
	}
	if c.Resource, err = pairs("OTEL_RESOURCE_ATTRIBUTES", getenv("OTEL_RESOURCE_ATTRIBUTES")); err != nil {
		return c, err
	}
	c.Resource["service.name"] = cmp.Or(getenv("OTEL_SERVICE_NAME"), c.Resource["service.name"], "plimsoll-router")
	c.Share, err = sampler(getenv, share)
	return c, err
}

// below is the URL of traces below a collector's base URL.
func below(base string) string {
	return strings.TrimSuffix(base, "/") + "/" + tracesPath
}

func checkEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%q is no URL of a collector such as http://127.0.0.1:4318", endpoint)
	}
	return nil
}

// secure reads the certificates that a collector's must come from.
func (c *Config) secure(file string) error {
	if file == "" {
		return nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("OTEL_EXPORTER_OTLP_CERTIFICATE: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return fmt.Errorf("OTEL_EXPORTER_OTLP_CERTIFICATE: %q has no certificate in PEM", file)
	}
	c.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return nil
}

// pairs reads "a=b,c=d", whose values are percent-encoded.
func pairs(name, text string) (map[string]string, error) {
	all := map[string]string{}
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		key, value, ok := strings.Cut(part, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if key = strings.TrimSpace(key); !ok || key == "" || err != nil {
			// Not the value: it may be a secret.
			return nil, fmt.Errorf("%s: the part that begins with %q is not name=value", name, key)
		}
		all[key] = value
	}
	return all, nil
}

// sampler is the share that a flag, or else the environment, asks for. What others
// have begun is always as they say.
func sampler(getenv func(string) string, share float64) (float64, error) {
	if share >= 0 {
		return share, nil
	}
	switch name := getenv("OTEL_TRACES_SAMPLER"); name {
	case "", "parentbased_always_on":
		return 1, nil
	case "parentbased_always_off":
		return 0, nil
	case "parentbased_traceidratio":
		text := cmp.Or(getenv("OTEL_TRACES_SAMPLER_ARG"), "1")
		ratio, err := strconv.ParseFloat(text, 64)
		if err != nil || !(ratio >= 0 && ratio <= 1) {
			return 0, fmt.Errorf("OTEL_TRACES_SAMPLER_ARG is %q; allowed: from 0 to 1", text)
		}
		return ratio, nil
	default:
		return 0, fmt.Errorf("OTEL_TRACES_SAMPLER is %q; allowed: \"parentbased_always_on\", \"parentbased_always_off\", \"parentbased_traceidratio\"; or give --otlp-sample", name)
	}
}
