// Package web holds the dashboard as it was built by npm, and serves it. It
// must not know of the API that the page talks to, nor of any running part.
package web

import (
	"embed"
	"io/fs"
	"net/http"
	"strings"
)

//go:embed all:dist
var dist embed.FS

// Assets gives the built page's files, and whether there are any: a clone in
// which `make web` was never run has none.
func Assets() (fs.FS, bool) {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, false
	}
	_, err = fs.Stat(files, "index.html")
	return files, err == nil
}

// policy lets the page load its own files and talk to its own server, and
// nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// Handler serves the page. If it was not built, it says how to build it.
func Handler() http.Handler {
	files, ok := Assets()
	if !ok {
		return handler(nil)
	}
	return handler(files)
}

func handler(files fs.FS) http.Handler {
	var server http.Handler
	if files != nil {
		server = http.FileServerFS(files)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method "+r.Method+" is not allowed on the page", http.StatusMethodNotAllowed)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		if server == nil {
			h.Set("Content-Type", "text/html; charset=utf-8")
			h.Set("Cache-Control", "no-store")
			_, _ = w.Write([]byte(unbuilt)) // the client is gone: nobody is left to tell
			return
		}
		if strings.HasSuffix(r.URL.Path, "/") && r.URL.Path != "/" {
			http.NotFound(w, r) // folders are not listed
			return
		}
		if strings.HasPrefix(r.URL.Path, "/assets/") {
			h.Set("Cache-Control", "public, max-age=31536000, immutable") // the name has a digest of the content
		} else {
			h.Set("Cache-Control", "no-cache")
		}
		server.ServeHTTP(w, r)
	})
}

// unbuilt is served in place of the page.
const unbuilt = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Plimsoll</title>
<h1>Plimsoll runs; its dashboard was not built into it</h1>
<p>To build it (npm is needed), run this in the project's folder, and start the new program:</p>
<pre>make web
make build</pre>
<p>Everything else works without it: <a href="/v1/services">services</a>, <a href="/v1/hosts">hosts</a>,
<a href="/v1/tasks">tasks</a>, <a href="/v1/decisions">decisions</a>, <a href="/v1/status">status</a>,
<a href="/metrics">metrics</a>; and on the command line <code>plimsoll services</code>.</p>
</html>
`
