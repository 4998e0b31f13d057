package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

//go:embed index.html
var indexPage []byte

// finishTime is how long the requests under way have after SIGTERM: less than
// the 30 s after which ECS kills.
const finishTime = 25 * time.Second

// address is where the environment says to listen.
func address(env func(string) string) string {
	port := env("PORT")
	if port == "" {
		port = "8000"
	}
	host := env("HOST")
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// serve serves images until ctx ends, and then finishes what is under way.
func serve(ctx context.Context, listen string, log *slog.Logger) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("listen at %q: %w", listen, err)
	}
	server := &http.Server{
		Handler:           handler(log),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	log.Info("serving", "address", "http://"+l.Addr().String())
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	log.Info("stopping: the requests under way are finished")
	finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer cancel()
	if err := server.Shutdown(finish); err != nil {
		return fmt.Errorf("requests were still under way %s after the stop signal: %w", finishTime, err)
	}
	return nil
}

func handler(log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(indexPage)
	})
	mux.HandleFunc("GET /iiif/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		err := serveImage(w, r)
		var refused *requestError
		switch {
		case err == nil, r.Context().Err() != nil:
		case errors.As(err, &refused):
			http.Error(w, refused.reason, refused.code)
		default:
			log.Error("an image was not served", "path", r.URL.Path, "error", err)
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	return mux
}

// identifier is what a picture may be called.
var identifier = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// serveImage answers /iiif/{id}, /iiif/{id}/info.json and
// /iiif/{id}/{region}/{size}/{rotation}/{quality}.{format}.
func serveImage(w http.ResponseWriter, r *http.Request) error {
	parts := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/iiif/"), "/")
	for i, part := range parts {
		plain, err := url.PathUnescape(part)
		if err != nil {
			return bad("%q is badly escaped", part)
		}
		parts[i] = plain
	}
	id := parts[0]
	if !identifier.MatchString(id) {
		return &requestError{http.StatusNotFound, fmt.Sprintf("no image is called %q: names have 1 to 64 letters, digits, dots, dashes and underscores", id)}
	}
	base := baseURL(r) + "/iiif/" + id
	p := newPicture(id, pictureWidth, pictureHeight)
	switch {
	case len(parts) == 1 || len(parts) == 2 && parts[1] == "":
		http.Redirect(w, r, base+"/info.json", http.StatusSeeOther)
		return nil
	case len(parts) == 2 && parts[1] == "info.json":
		return serveInfo(w, r, base, p)
	case len(parts) != 5:
		return bad("the path must be /iiif/{id}/{region}/{size}/{rotation}/{quality}.{format} or /iiif/{id}/info.json")
	}
	request, err := parseImage(parts[1], parts[2], parts[3], parts[4], p.width, p.height)
	if err != nil {
		return err
	}
	img, err := render(r.Context(), p, request)
	if err != nil {
		return err
	}
	var body bytes.Buffer
	if err := encode(&body, img, request.format); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", mediaTypes[request.format])
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	h.Set("Cache-Control", "public, max-age=86400")
	h.Set("Link", `<http://iiif.io/api/image/3/level2.json>;rel="profile"`)
	_, err = w.Write(body.Bytes())
	return err
}

// baseURL is what the client called this server, which stands behind a router
// that sets X-Forwarded-Proto.
func baseURL(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

// info is the image information of section 5.
type info struct {
	Context       string     `json:"@context"`
	ID            string     `json:"id"`
	Type          string     `json:"type"`
	Protocol      string     `json:"protocol"`
	Profile       string     `json:"profile"`
	Width         int        `json:"width"`
	Height        int        `json:"height"`
	MaxWidth      int        `json:"maxWidth"`
	MaxHeight     int        `json:"maxHeight"`
	Tiles         []infoTile `json:"tiles"`
	ExtraFormats  []string   `json:"extraFormats"`
	ExtraQuality  []string   `json:"extraQualities"`
	ExtraFeatures []string   `json:"extraFeatures"`
}

type infoTile struct {
	Width        int   `json:"width"`
	ScaleFactors []int `json:"scaleFactors"`
}

const infoContext = "http://iiif.io/api/image/3/context.json"

func serveInfo(w http.ResponseWriter, r *http.Request, id string, p picture) error {
	kind := "application/json"
	if strings.Contains(r.Header.Get("Accept"), "application/ld+json") {
		kind = `application/ld+json;profile="` + infoContext + `"`
	}
	w.Header().Set("Content-Type", kind)
	tile := infoTile{Width: 256}
	for scale := 1; scale*tile.Width <= max(p.width, p.height); scale *= 2 {
		tile.ScaleFactors = append(tile.ScaleFactors, scale)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(info{
		Context: infoContext, ID: id, Type: "ImageService3", Protocol: "http://iiif.io/api/image",
		Profile: "level2", Width: p.width, Height: p.height, MaxWidth: maxSide, MaxHeight: maxSide,
		Tiles:         []infoTile{tile},
		ExtraFormats:  []string{"gif"},
		ExtraQuality:  []string{"color", "gray", "bitonal"},
		ExtraFeatures: []string{"mirroring", "regionSquare", "sizeUpscaling"},
	})
}
