package router

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"

	"plimsoll/router/h1"
)

// objection says why a request is refused before it is routed; empty if it is
// not.
func (a *arrival) objection() string {
	switch {
	case a.method == http.MethodConnect:
		return "CONNECT is not served: this router leads to its services only"
	case !strings.HasPrefix(a.path, "/"):
		return "the request's target is not a path"
	case a.host == "":
		return "the request names no host"
	case hasControl(a.path):
		return "the path has a control character"
	case hasControl(a.host) || hasControl(a.query):
		return "the request has a control character"
	}
	return ""
}

// misread says what the grammar of HTTP/1.1 forbids in a request that net/http has
// read, whose own is wider, where its target would be written in that version; nil
// if nothing.
func misread(r *http.Request) *h1.Error {
	target := cmp.Or(r.RequestURI, r.URL.RequestURI()) // the first is a server's alone
	if err := h1.Judge(r.Method, target, r.Host); err != nil {
		return err
	}
	if r.ProtoMajor > 1 {
		if target[0] != '/' {
			return &h1.Error{Status: http.StatusBadRequest, Reason: "the request's target is not a path"}
		}
		if err := overlarge(r, target); err != nil {
			return err
		}
	}
	for _, value := range r.Header["Expect"] {
		if !strings.EqualFold(value, "100-continue") {
			return &h1.Error{Status: http.StatusExpectationFailed, Reason: "Expect is another than \"100-continue\""}
		}
	}
	return nil
}

// overlarge says that a head of HTTP/2 is larger than one of HTTP/1.1 may be: most
// targets get it as such, and many would refuse it.
func overlarge(r *http.Request, target string) *h1.Error {
	const between = len(": \r\n")
	fields, size := 1, len(r.Method)+len(target)+len(r.Host)+len("  HTTP/1.1\r\nHost: \r\n\r\n")
	for name, values := range r.Header {
		fields += len(values)
		for _, value := range values {
			size += len(name) + len(value) + between
		}
	}
	return h1.JudgeFields(fields, size)
}

func hasControl(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] == 0x7f {
			return true
		}
	}
	return false
}

// leaves tells whether the decoded path climbs out of its prefix by ".."
// segments on its way. A backslash separates too, and what follows a semicolon
// in a segment is ignored, because there are servers that read them so.
func leaves(path, prefix string) bool {
	if !strings.Contains(path, "..") {
		return false
	}
	depth := 0
	for _, segment := range strings.FieldsFunc(strings.TrimPrefix(path, prefix), isSeparator) {
		segment, _, _ = strings.Cut(segment, ";")
		switch segment {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				return true
			}
		default:
			depth++
		}
	}
	return false
}

// mistakable tells whether there are servers that read the path as another: that
// take out dots and empty segments, take a backslash for a slash, or leave out what
// follows a semicolon.
func mistakable(path string) bool {
	for i := 0; i < len(path); i++ {
		switch path[i] {
		case ';', '\\':
			return true
		case '/':
			if i+1 < len(path) && (path[i+1] == '/' || path[i+1] == '.') {
				return true
			}
		}
	}
	return false
}

// cleaned is the path as such servers read it.
func cleaned(path string) string {
	var out []string
	last := ""
	for i, segment := range strings.Split(strings.ReplaceAll(path, "\\", "/"), "/") {
		last, _, _ = strings.Cut(segment, ";")
		switch {
		case i == 0, last == "", last == ".":
		case last == "..":
			out = out[:max(0, len(out)-1)]
		default:
			out = append(out, last)
		}
	}
	short := "/" + strings.Join(out, "/")
	if len(out) > 0 && (last == "" || last == "." || last == "..") {
		short += "/"
	}
	return short
}

func isSeparator(r rune) bool { return r == '/' || r == '\\' }

// stripped takes the prefix off the path, decoded and raw. ok is false if the
// raw path spells the prefix in another way, so that it cannot be cut off.
func stripped(path, raw, prefix string) (newPath, newRaw string, ok bool) {
	prefix = strings.TrimSuffix(prefix, "/")
	newPath = strings.TrimPrefix(path, prefix)
	if raw != "" {
		if !strings.HasPrefix(raw, prefix) {
			return "", "", false
		}
		newRaw = raw[len(prefix):]
	}
	if newPath == "" {
		newPath = "/"
	}
	if raw != "" && newRaw == "" {
		newRaw = "/"
	}
	return newPath, newRaw, true
}

// unstrippable is said of a path whose raw form spells the prefix in another way.
func unstrippable(r *route) string {
	return fmt.Sprintf("the path spells %q in another way, so that it cannot be stripped", r.Path)
}

// hopByHop are the fields that concern one connection only (RFC 9110, section
// 7.6.1), with those that are used so though no RFC says it, and the one that is
// for the router alone.
var hopByHop = map[string]bool{
	"Connection":          true,
	"Proxy-Connection":    true,
	"Keep-Alive":          true,
	"Proxy-Authenticate":  true,
	"Proxy-Authorization": true,
	"Te":                  true,
	"Trailer":             true,
	"Transfer-Encoding":   true,
	"Upgrade":             true,
	TokenField:            true,
}

// forwarding tells whether a field says where a request came from: it is set by
// the router or not at all. An underscore counts as a dash, as it does for
// whatever reads fields from environment variables.
func forwarding(name string) bool {
	if name[0]|0x20 != 'x' && name[0]|0x20 != 'f' {
		return false
	}
	return spelled(name, "forwarded") || spelled(name, "x-real-ip") ||
		len(name) >= len("x-forwarded") && spelled(name[:len("x-forwarded")], "x-forwarded")
}

// spelled compares a name with one in lower case.
func spelled(name, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'A' && c <= 'Z':
			c |= 0x20
		case c == '_':
			c = '-'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// copyEndToEnd copies the fields that are meant for the other end.
func copyEndToEnd(to, from http.Header, drop func(name string) bool) {
	named := from["Connection"]
	for name, values := range from {
		if name == "" || hopByHop[name] || (drop != nil && drop(name)) || (len(named) > 0 && hasToken(named, name)) {
			continue
		}
		to[name] = values
	}
}

// hasToken tells whether a list field has the token, whatever its case.
func hasToken(values []string, token string) bool {
	for _, value := range values {
		for part := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}

// outHeader is the header of the request to the target. The values' slices are
// shared with the client's request; nobody changes them in place.
func outHeader(r *http.Request, o origin) http.Header {
	h := make(http.Header, len(r.Header)+4)
	drop := forwarding
	if o.trusted {
		drop = nil
	}
	copyEndToEnd(h, r.Header, drop)
	o.mark(h, r.Host)
	if hasToken(r.Header["Te"], "trailers") {
		h["Te"] = []string{"trailers"}
	}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = nil // net/http would put in its own
	}
	return h
}

// isWebSocket tells whether the request asks for a WebSocket (RFC 6455, section
// 4.1). Any other upgrade is left out, as a server may.
func isWebSocket(r *http.Request) bool {
	return r.Method == http.MethodGet && r.ProtoAtLeast(1, 1) && r.ContentLength == 0 &&
		hasToken(r.Header["Connection"], "upgrade") && hasToken(r.Header["Upgrade"], "websocket")
}
