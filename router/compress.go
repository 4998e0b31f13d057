package router

import (
	"net/http"

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
	x.router.compress(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		x.w = w
		x.run(x)
	}))(x.w, x.request)
}
