package router

import (
	"encoding/binary"
	"encoding/hex"
)

// trace gives a request that belongs to no trace one of its own (W3C Trace
// Context, traceparent: version, trace id, parent id, sampled). One that has
// a traceparent keeps it: the router is no span of its own.
func (x *exchange) trace() {
	if !x.router.options.Trace || len(x.request.Header["Traceparent"]) > 0 {
		return
	}
	var ids [24]byte
	for i := 0; i < len(ids); i += 8 {
		binary.BigEndian.PutUint64(ids[i:], x.router.rand()|1) // never all zero
	}
	x.request.Header["Traceparent"] = []string{"00-" + hex.EncodeToString(ids[:16]) + "-" + hex.EncodeToString(ids[16:]) + "-01"}
	x.request.Header.Del("Tracestate") // it belonged to no trace
}
