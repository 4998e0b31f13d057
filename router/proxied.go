package router

import (
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

// The versions of the PROXY protocol that a target may be sent (haproxy's
// proxy-protocol.txt).
const (
	ProxyV1 = "v1"
	ProxyV2 = "v2"
)

// behindProxy lets the peers of Options.ProxyFrom, and only them, say by the
// PROXY protocol (version 1 or 2) where a connection came from. They must: one
// without the header is closed. What others send is left as it is.
func (r *Router) behindProxy(l net.Listener) net.Listener {
	if len(r.options.ProxyFrom) == 0 {
		return l
	}
	return halving{&proxyproto.Listener{
		Listener:          l,
		ReadHeaderTimeout: r.options.HeadTimeout,
		ConnPolicy: func(o proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
			peer, err := netip.ParseAddrPort(o.Upstream.String())
			if err == nil && within(r.options.ProxyFrom, peer.Addr().Unmap()) {
				return proxyproto.REQUIRE, nil
			}
			return proxyproto.SKIP, nil
		},
	}}
}

// halving gives connections of which one half can be closed, which the library's
// cannot: or a target's end would never reach its client.
type halving struct{ net.Listener }

func (l halving) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if named, ok := conn.(*proxyproto.Conn); ok {
		return proxied{named}, err
	}
	return conn, err
}

// proxied is a connection that may have begun with the PROXY protocol.
type proxied struct{ *proxyproto.Conn }

// CloseWrite closes the half that is written.
func (c proxied) CloseWrite() error { return closeWrite(c.Raw()) }

// announce tells a target by the PROXY protocol where a connection came from.
func announce(version string, client, target net.Conn) error {
	number := byte(1)
	if version == ProxyV2 {
		number = 2
	}
	_, err := proxyproto.HeaderProxyFromAddrs(number, client.RemoteAddr(), client.LocalAddr()).WriteTo(target)
	return err
}
