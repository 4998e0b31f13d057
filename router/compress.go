package router

import (
	"net/http"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzhttp"
)

// compressFrom is the least size of a body that is worth its compression.
const compressFrom = 1 << 10

// compressing makes a handler compress what its clients take compressed, by
// gzip or zstd: text and the like, that is not compressed yet.
func compressing() func(http.Handler) http.HandlerFunc {
	wrap, err := gzhttp.NewWrapper(gzhttp.MinSize(compressFrom), gzhttp.EnableZstd(true))
	if err != nil {
		panic("the bounds of compression: " + err.Error()) // they are the constants above
	}
	return wrap
}

// runCompressed is run for a route that compresses.
func (x *exchange) runCompressed() {
	if !x.route.Compress || x.grpc || isWebSocket(x.request) {
		x.run(x)
		return
	}
	x.bare = x.w
	x.router.compress(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		x.w = w
		x.run(x)
	}))(recoded{x.bare}, x.request)
}

// recode prepares a target's answer, whose fields h has, for its compression; one
// that must not be changed, or has to come at once, is sent past it.
func (x *exchange) recode(h http.Header) {
	if x.bare == nil {
		return
	}
	if vary := h["Vary"]; !hasToken(vary, "*") && !hasToken(vary, "Accept-Encoding") {
		h["Vary"] = append(slices.Clip(vary), "Accept-Encoding") // the target's took its place
	}
	if !recodable(h) {
		x.w = x.bare
	}
}

// recodable tells whether an answer may be compressed: not a part of one, nor what
// its sender forbids to change (RFC 9111, section 5.2.2.6), nor what has a digest of
// its bytes (RFC 9530). Events are not, for their head would wait for the first.
func recodable(h http.Header) bool {
	for _, name := range []string{"Content-Encoding", "Content-Range", "Content-Digest", "Repr-Digest", "Digest", "Content-Md5"} {
		if len(h[name]) > 0 {
			return false
		}
	}
	return !hasToken(h["Cache-Control"], "no-transform") && !strings.HasPrefix(h.Get("Content-Type"), "text/event-stream")
}

// recoded is below the compression, which alone sets a coding of answers that come
// through it.
type recoded struct{ http.ResponseWriter }

// WriteHeader makes the ETag of a compressed answer a weak one: a strong one is of
// other bytes (RFC 9110, section 8.8.1).
func (r recoded) WriteHeader(code int) {
	h := r.Header()
	if tag := h.Get("Etag"); tag != "" && !strings.HasPrefix(tag, "W/") && h.Get("Content-Encoding") != "" {
		h["Etag"] = []string{"W/" + tag}
	}
	r.ResponseWriter.WriteHeader(code)
}

// Flush is for the compression, which looks for it in this way only.
func (r recoded) Flush() { _ = http.NewResponseController(r.ResponseWriter).Flush() } // a broken connection is seen by the next write

// Unwrap is http.ResponseController's way to the writer below.
func (r recoded) Unwrap() http.ResponseWriter { return r.ResponseWriter }
