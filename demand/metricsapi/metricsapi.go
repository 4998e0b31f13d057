// Package metricsapi reads a demand from a number in the JSON answer of an HTTP
// endpoint. It must not know what the number means.
package metricsapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/tidwall/gjson"

	"plimsoll/demand"
)

// maxBody is the most that is read of an answer, in bytes.
const maxBody = 1 << 20

// Options make a Source. The keys in errors are those of the trigger.
type Options struct {
	// URL is asked with GET; http or https.
	URL string
	// ValueLocation is the path of the number in the answer, as GJSON writes
	// it: "queues.jobs.depth", "items.0.value".
	ValueLocation string
	// Format is that of the answer: "json", which is the default, is the only
	// one so far.
	Format string
	// Headers are put on the request.
	Headers map[string]string
	// Timeout bounds a reading as a whole. Default 5 s.
	Timeout time.Duration
	// Client is for the requests; nil is one of the Source's own.
	Client *http.Client
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Source asks one URL.
type Source struct {
	o Options
	// name is the URL without what may be secret in it: user, query, fragment.
	name string
}

var _ demand.Source = (*Source)(nil)

// New checks the options.
func New(o Options) (*Source, error) {
	u, err := url.Parse(o.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf(`metrics-api: url %q: it must begin with "http://" or "https://" and name a host`, o.URL)
	}
	if o.ValueLocation == "" {
		return nil, fmt.Errorf(`metrics-api: valueLocation is missing: it must be the path of the number in the answer, such as "queues.jobs.depth"`)
	}
	if o.Format != "" && o.Format != "json" {
		return nil, fmt.Errorf(`metrics-api: format %q: it must be "json"`, o.Format)
	}
	if o.Timeout < 0 {
		return nil, fmt.Errorf("metrics-api: timeout %q: it must be over 0", o.Timeout)
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Client == nil {
		o.Client = &http.Client{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Headers = maps.Clone(o.Headers)
	return &Source{o: o, name: (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()}, nil
}

// Read asks once. A status other than 2xx, an answer that is no JSON or is over
// 1 MiB, and a value that is missing or no number are errors. A number may also
// be written as a text.
func (s *Source) Read(ctx context.Context) (demand.Sample, error) {
	at := s.o.Now()
	body, err := s.get(ctx)
	if err != nil {
		return demand.Sample{}, fmt.Errorf("metrics-api %s: %w", s.name, err)
	}
	value, err := number(body, s.o.ValueLocation)
	if err != nil {
		return demand.Sample{}, fmt.Errorf("metrics-api %s: %w", s.name, err)
	}
	return demand.Sample{Value: value, At: at, Detail: fmt.Sprintf("%s of %s", s.o.ValueLocation, s.name)}, nil
}

func (s *Source) get(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.o.URL, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	for key, value := range s.o.Headers {
		request.Header.Set(key, value)
		if http.CanonicalHeaderKey(key) == "Host" {
			request.Host = value
		}
	}
	response, err := s.o.Client.Do(request)
	if err != nil {
		// The client's own words repeat the URL with all that is secret in it.
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err
		}
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	switch {
	case response.StatusCode < 200 || response.StatusCode > 299:
		return nil, fmt.Errorf("status %d: %q", response.StatusCode, demand.Shorten(string(body)))
	case err != nil:
		return nil, fmt.Errorf("read the answer: %w", err)
	case len(body) > maxBody:
		return nil, fmt.Errorf("the answer is over %d bytes", maxBody)
	}
	return body, nil
}

// number finds the demand in a JSON text.
func number(body []byte, path string) (float64, error) {
	if !gjson.ValidBytes(body) {
		return 0, fmt.Errorf("the answer is not JSON: %q", demand.Shorten(string(body)))
	}
	found := gjson.GetBytes(body, path)
	if !found.Exists() {
		return 0, fmt.Errorf("valueLocation %q: there is nothing at it in %q", path, demand.Shorten(string(body)))
	}
	text := found.Raw
	switch found.Type {
	case gjson.Number:
	case gjson.String:
		text = found.Str
	default:
		return 0, fmt.Errorf("valueLocation %q: %s is not a number", path, demand.Shorten(found.Raw))
	}
	value, err := demand.ParseValue(text)
	if err != nil {
		return 0, fmt.Errorf("valueLocation %q: %w", path, err)
	}
	return value, nil
}
