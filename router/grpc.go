package router

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// isGRPC tells whether the request is one of gRPC's (its content type is
// application/grpc, with or without a suffix), which HTTP/2 alone carries.
func isGRPC(r *http.Request) bool {
	if r.ProtoMajor < 2 {
		return false
	}
	kind := r.Header["Content-Type"]
	if len(kind) != 1 {
		return false
	}
	rest, ok := strings.CutPrefix(kind[0], "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// Codes of gRPC (grpc/grpc, doc/statuscodes.md) that the router answers with.
const (
	grpcDeadlineExceeded  = 4
	grpcPermissionDenied  = 7
	grpcResourceExhausted = 8
	grpcUnimplemented     = 12
	grpcInternal          = 13
	grpcUnavailable       = 14
	grpcUnauthenticated   = 16
)

// grpcCode is the code for an answer of the router's own with an HTTP status
// (grpc/grpc, doc/http-grpc-status-mapping.md, but for what the router knows
// more of: a limit, and a target that took too long).
func grpcCode(status int) int {
	switch status {
	case http.StatusUnauthorized:
		return grpcUnauthenticated
	case http.StatusForbidden:
		return grpcPermissionDenied
	case http.StatusNotFound:
		return grpcUnimplemented
	case http.StatusTooManyRequests, http.StatusRequestEntityTooLarge, http.StatusRequestHeaderFieldsTooLarge:
		return grpcResourceExhausted
	case http.StatusGatewayTimeout:
		return grpcDeadlineExceeded
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		return grpcUnavailable
	default:
		return grpcInternal
	}
}

// refuseGRPC answers a call with its status alone.
func refuseGRPC(w http.ResponseWriter, status int, reason string) {
	h := w.Header()
	clear(h)
	h.Set("Content-Type", "application/grpc")
	h.Set("Grpc-Status", strconv.Itoa(grpcCode(status)))
	h.Set("Grpc-Message", grpcMessage(reason))
	w.WriteHeader(http.StatusOK)
}

// endGRPC ends a call whose answer has begun, by trailers.
func endGRPC(w http.ResponseWriter, reason string) {
	h := w.Header()
	h.Set(http.TrailerPrefix+"Grpc-Status", strconv.Itoa(grpcUnavailable))
	h.Set(http.TrailerPrefix+"Grpc-Message", grpcMessage(reason))
}

// grpcMessage percent-encodes what is not printable ASCII (grpc/grpc,
// doc/PROTOCOL-HTTP2.md).
func grpcMessage(reason string) string {
	var out strings.Builder
	for i := range len(reason) {
		if c := reason[i]; c < ' ' || c > '~' || c == '%' {
			fmt.Fprintf(&out, "%%%02X", c)
		} else {
			out.WriteByte(c)
		}
	}
	return out.String()
}
