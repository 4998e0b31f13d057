package router

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// origin is where requests come from, as their targets are told.
type origin struct {
	// peer is the other end of the connection, and client the last address on
	// the way that is not a trusted proxy's: the same where the peer is none.
	// Both are invalid if they are not known.
	peer, client netip.Addr
	trusted      bool   // the peer may say where a request came from
	ip           string // the peer; empty if it is not known
	proto        string // "http" or "https"
	node         string // both in Forwarded's form (RFC 7239)
}

// originOf is the origin as the connection shows it.
func originOf(remote netip.Addr, secure bool, trusted []netip.Prefix) origin {
	o := origin{proto: "http"}
	if secure {
		o.proto = "https"
	}
	o.node = "proto=" + o.proto
	if remote.IsValid() {
		o.peer = remote.Unmap().WithZone("")
		o.client, o.trusted = o.peer, within(trusted, o.peer)
		o.ip = o.peer.String()
		if o.peer.Is6() {
			o.node = `for="[` + o.ip + `]";` + o.node
		} else {
			o.node = "for=" + o.ip + ";" + o.node
		}
	}
	return o
}

// addressOf is the address of one end of a connection; invalid if it has none.
func addressOf(end net.Addr) netip.Addr {
	if known, ok := end.(interface{ AddrPort() netip.AddrPort }); ok {
		return known.AddrPort().Addr()
	}
	return parsedAddress(end.String())
}

// parsedAddress is that of "address:port"; invalid if it is no such text.
func parsedAddress(remote string) netip.Addr {
	at, _ := netip.ParseAddrPort(remote)
	return at.Addr()
}

// told takes in what a trusted peer says of a request's way.
func (o origin) told(h http.Header, trusted []netip.Prefix) origin {
	if !o.trusted {
		return o
	}
	hops := strings.Split(strings.Join(h["X-Forwarded-For"], ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop := hopAddress(strings.TrimSpace(hops[i]))
		if !hop.IsValid() {
			break
		}
		o.client = hop
		if !within(trusted, o.client) {
			break
		}
	}
	return o
}

// hopAddress is an address as proxies write it in X-Forwarded-For: some with the port
// of the connection, or an address of IPv6 in brackets. Invalid if it is none.
func hopAddress(text string) netip.Addr {
	hop, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	if err != nil {
		hop = parsedAddress(text)
	}
	return hop.Unmap().WithZone("")
}

func within(prefixes []netip.Prefix, address netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(address) {
			return true
		}
	}
	return false
}

// mark sets the fields that tell a target where the request came from. h holds
// what a trusted peer has sent of them, and nothing from any other.
func (o origin) mark(h http.Header, host string) {
	if o.ip != "" {
		h["X-Forwarded-For"] = []string{after(h["X-Forwarded-For"], o.ip)}
	}
	if len(h["X-Forwarded-Host"]) != 1 {
		h["X-Forwarded-Host"] = []string{host}
	}
	if said := h["X-Forwarded-Proto"]; len(said) != 1 || (said[0] != "http" && said[0] != "https") {
		h["X-Forwarded-Proto"] = []string{o.proto}
	}
	h["Forwarded"] = []string{after(h["Forwarded"], o.node+`;host="`+host+`"`)}
}

// after is one list of what was there and the last item.
func after(before []string, last string) string {
	if len(before) == 0 {
		return last
	}
	return strings.Join(before, ", ") + ", " + last
}
