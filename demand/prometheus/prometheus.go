// Package prometheus reads a demand as the answer of a Prometheus server to a
// query. It must not know what the number means.
package prometheus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"plimsoll/demand"
)

// Options make a Source. The keys in errors are those of the trigger.
type Options struct {
	// ServerAddress is the server's base URL; http or https.
	ServerAddress string
	// Query is in PromQL; its result is one number.
	Query string
	// IgnoreNullValues takes an empty result as 0. Without it that is an error,
	// since a metric that is gone says nothing of the demand.
	IgnoreNullValues bool
	// Headers are put on each request.
	Headers map[string]string
	// Transport is for the requests; nil is http.DefaultTransport.
	Transport http.RoundTripper
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Source asks one query.
type Source struct {
	o   Options
	api v1.API
	// name is the address without what may be secret in it.
	name string
}

var _ demand.Source = (*Source)(nil)

// New checks the options; it makes no call.
func New(o Options) (*Source, error) {
	u, err := url.Parse(o.ServerAddress)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf(`prometheus: serverAddress %q: it must begin with "http://" or "https://" and name a host`, o.ServerAddress)
	}
	if o.Query == "" {
		return nil, fmt.Errorf("prometheus: query is missing: it must be a PromQL expression of one number, such as sum(jobs_waiting)")
	}
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	client, err := api.NewClient(api.Config{
		Address:      o.ServerAddress,
		RoundTripper: headers{set: maps.Clone(o.Headers), next: o.Transport},
	})
	if err != nil {
		return nil, fmt.Errorf("prometheus: serverAddress: %w", err)
	}
	return &Source{o: o, api: v1.NewAPI(client), name: (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()}, nil
}

// headers puts headers on requests.
type headers struct {
	set  map[string]string
	next http.RoundTripper
}

// RoundTrip completes http.RoundTripper.
func (h headers) RoundTrip(r *http.Request) (*http.Response, error) {
	if len(h.set) > 0 {
		r = r.Clone(r.Context())
		for key, value := range h.set {
			r.Header.Set(key, value)
		}
	}
	return h.next.RoundTrip(r)
}

// Read asks once. A result that is not one number is an error.
func (s *Source) Read(ctx context.Context) (demand.Sample, error) {
	now := s.o.Now()
	result, _, _, err := s.api.Query(ctx, s.o.Query, now)
	if err != nil {
		// The client's own words repeat the URL with all that is secret in it.
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err
		}
		return demand.Sample{}, fmt.Errorf("prometheus %s: %w", s.name, err)
	}
	value, err := s.number(result)
	if err != nil {
		return demand.Sample{}, fmt.Errorf("prometheus %s: query %q: %w", s.name, demand.Shorten(s.o.Query), err)
	}
	return demand.Sample{Value: value, At: now, Detail: demand.Shorten(s.o.Query)}, nil
}

// number is the one number of a result.
func (s *Source) number(result model.Value) (float64, error) {
	var value float64
	switch r := result.(type) {
	case *model.Scalar:
		value = float64(r.Value)
	case model.Vector:
		switch len(r) {
		case 0:
			if s.o.IgnoreNullValues {
				return 0, nil
			}
			return 0, fmt.Errorf("the result is empty; if that means 0, set ignoreNullValues: true")
		case 1:
			value = float64(r[0].Value)
		default:
			return 0, fmt.Errorf("the result has %d series; make one of them, as with sum(…)", len(r))
		}
	default:
		return 0, fmt.Errorf("the result is a %s, not one number", result.Type())
	}
	if !demand.Valid(value) {
		return 0, fmt.Errorf("%v is not a demand: one finite number that is not negative", value)
	}
	return value, nil
}
