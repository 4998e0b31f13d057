package router

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// Tagged is a route that a service's tag asks for.
type Tagged struct {
	Route Route
	// Port is the container port that it goes to; 0 is the first.
	Port int
}

// fabioPrefix begins the tags of fabio.
const fabioPrefix = "urlprefix-"

// wholeWeight is what the weights of tags, which are shares from 0 to 1, add up
// to.
const wholeWeight = 10_000

// ParseTag reads a route from a tag: fabio's "urlprefix-host/path strip=/path
// weight=0.2", or the same without the prefix, with Plimsoll's own options. A
// host that begins with a dot, as a tag of AWS may where it may hold no star, is
// a wildcard. "host", "/path" and ":5432" (a TCP port) are routes as well.
func ParseTag(service, tag string) (Tagged, error) {
	words := strings.Fields(strings.TrimPrefix(tag, fabioPrefix))
	if len(words) == 0 {
		return Tagged{}, fmt.Errorf("tag %q of service %q names no host or path", tag, service)
	}
	t := Tagged{Route: Route{Service: service}}
	t.Route.Host, t.Route.Path, _ = strings.Cut(words[0], "/")
	t.Route.Path = "/" + t.Route.Path
	host, port, withPort := strings.Cut(t.Route.Host, ":")
	if strings.HasPrefix(host, ".") {
		host = "*" + host
	}
	t.Route.Host = strings.ToLower(host)
	if withPort {
		number, err := strconv.Atoi(port)
		if err != nil {
			return t, fmt.Errorf("tag %q of service %q: port %q is no number", tag, service, port)
		}
		if host == "" { // fabio's ":5432 proto=tcp"
			t.Route.TCP = number
		}
	}
	for _, word := range words[1:] {
		key, value, _ := strings.Cut(word, "=")
		if err := t.option(key, value); err != nil {
			return t, fmt.Errorf("tag %q of service %q: %w", tag, service, err)
		}
	}
	if t.Route.connections() {
		t.Route.Path, t.Route.Strip = "", false
	}
	return t, t.Route.check()
}

// option takes in one word of a tag after the first.
func (t *Tagged) option(key, value string) (err error) {
	r := &t.Route
	yes := value == "" || value == "true"
	switch key {
	case "strip":
		if r.Strip = true; !yes && value != r.Path {
			err = fmt.Errorf("strip=%s is not the path %s; only that is stripped", value, r.Path)
		}
	case "weight":
		err = r.shareOf(value)
	case "port":
		t.Port, err = strconv.Atoi(value)
	case "tcp":
		r.TCP, err = strconv.Atoi(value)
	case "tls":
		r.TLS = TLSMode(value)
	case "proto", "protocol":
		err = r.proto(value)
	case "tlsskipverify", "insecure":
		r.Upstream.Insecure = yes
	case "serverName":
		r.Upstream.ServerName = value
	case "pxyproto":
		if yes {
			r.Upstream.Proxy = ProxyV1
		}
	case "proxy":
		r.Upstream.Proxy = value
	case "health":
		r.Check.Path = value
	case "sticky":
		r.Balance.Sticky = value
	case "balance":
		r.Balance.Policy = Policy(value)
	case "maxPerTarget":
		r.Balance.MaxPerTarget, err = strconv.Atoi(value)
	case "compress":
		r.Compress = yes
	case "log":
		r.Log = yes
	case "allow":
		r.Access.Allow, err = networks(value)
	case "deny":
		r.Access.Deny, err = networks(value)
	default:
		err = fmt.Errorf("option %q is unknown; allowed: strip, weight, port, tcp, tls, proto, insecure, serverName, proxy, health, sticky, balance, maxPerTarget, compress, log, allow, deny", key)
	}
	return err
}

func (r *Route) shareOf(value string) error {
	share, err := strconv.ParseFloat(value, 64)
	if err != nil || share < 0 || share > 1 {
		return fmt.Errorf("weight=%s is no share from 0 to 1", value)
	}
	r.Weight = int(math.Round(share * wholeWeight))
	return nil
}

func (r *Route) proto(value string) error {
	switch value {
	case "http":
	case "tcp":
		if r.TCP == 0 {
			return fmt.Errorf("proto=tcp needs a port in the place of the host: %q", ":5432 proto=tcp")
		}
	case "tcp+sni":
		r.TLS = TLSPassthrough
	case "https", "h2c", "h2":
		r.Upstream.Protocol = Protocol(value)
	case "grpc":
		r.Upstream.Protocol = H2C
	case "grpcs":
		r.Upstream.Protocol = H2
	default:
		return fmt.Errorf("proto=%s is unknown; allowed: http, https, h2c, h2, grpc, grpcs, tcp, tcp+sni", value)
	}
	return nil
}

// networks reads fabio's "ip:10.0.0.0/8,ip:1.2.3.4", or the same without "ip:".
func networks(list string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for text := range strings.SplitSeq(list, ",") {
		text = strings.TrimPrefix(text, "ip:")
		if address, err := netip.ParseAddr(text); err == nil {
			all = append(all, netip.PrefixFrom(address, address.BitLen()))
			continue
		}
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%q is no network such as 10.0.0.0/8", text)
		}
		all = append(all, network)
	}
	return all, nil
}

// ShareOut gives what the weights of tags leave at a host and path to the
// routes there that name none, in equal parts.
func ShareOut(routes []Tagged) {
	type place struct{ host, path string }
	left, without := map[place]int{}, map[place][]int{}
	for i, t := range routes {
		if t.Route.connections() {
			continue
		}
		at := place{t.Route.Host, t.Route.Path}
		if _, ok := left[at]; !ok {
			left[at] = wholeWeight
		}
		left[at] -= t.Route.Weight
		if t.Route.Weight == 0 {
			without[at] = append(without[at], i)
		}
	}
	for at, list := range without {
		for _, i := range list {
			routes[i].Route.Weight = max(0, left[at]) / len(list)
		}
	}
}
