package main

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
)

// Greatest width and height of an answer, in pixels.
const maxSide = 1024

// requestError is a request that cannot be served, with the status that says so.
type requestError struct {
	code   int
	reason string
}

func (e *requestError) Error() string { return e.reason }

func bad(format string, args ...any) error {
	return &requestError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func unsupported(format string, args ...any) error {
	return &requestError{http.StatusNotImplemented, fmt.Sprintf(format, args...)}
}

// rectangle is in pixels, which need not be whole.
type rectangle struct{ x, y, w, h float64 }

// imageRequest is what is asked for of an image: the parameters of the IIIF
// Image API 3.0, section 4, worked out for the image's size.
type imageRequest struct {
	area          rectangle // of the image, within its bounds
	width, height int       // before the rotation
	mirror        bool
	turns         int    // quarter turns, clockwise
	quality       string // color, gray, bitonal
	format        string // jpg, png, gif
}

// parseImage reads {region}/{size}/{rotation}/{quality}.{format}, unescaped.
func parseImage(region, size, rotation, last string, width, height int) (imageRequest, error) {
	var r imageRequest
	var err error
	if r.area, err = parseRegion(region, float64(width), float64(height)); err != nil {
		return r, err
	}
	if r.width, r.height, err = parseSize(size, r.area.w, r.area.h); err != nil {
		return r, err
	}
	if r.mirror, r.turns, err = parseRotation(rotation); err != nil {
		return r, err
	}
	dot := strings.LastIndexByte(last, '.')
	if dot < 0 {
		return r, bad("%q has no format: it must be quality.format, such as default.jpg", last)
	}
	r.quality, r.format = last[:dot], last[dot+1:]
	switch r.quality {
	case "default":
		r.quality = "color"
	case "color", "gray", "bitonal":
	default:
		return r, bad("quality %q: it must be default, color, gray or bitonal", r.quality)
	}
	switch r.format {
	case "jpg", "png", "gif":
	case "tif", "jp2", "pdf", "webp":
		return r, unsupported("format %q is not served here: ask for jpg, png or gif", r.format)
	default:
		return r, bad("format %q: it must be jpg, png or gif", r.format)
	}
	return r, nil
}

// parseRegion is section 4.1: full, square, x,y,w,h or pct:x,y,w,h.
func parseRegion(text string, width, height float64) (rectangle, error) {
	switch text {
	case "full":
		return rectangle{0, 0, width, height}, nil
	case "square":
		side := min(width, height)
		return rectangle{math.Floor((width - side) / 2), math.Floor((height - side) / 2), side, side}, nil
	}
	percent := strings.HasPrefix(text, "pct:")
	parts := strings.Split(strings.TrimPrefix(text, "pct:"), ",")
	if len(parts) != 4 {
		return rectangle{}, bad("region %q: it must be full, square, x,y,w,h or pct:x,y,w,h", text)
	}
	var v [4]float64
	for i, part := range parts {
		var ok bool
		if v[i], ok = number(part, percent); !ok {
			return rectangle{}, bad("region %q: %q is not a number that can stand there", text, part)
		}
	}
	r := rectangle{v[0], v[1], v[2], v[3]}
	if percent {
		r = rectangle{math.Round(r.x * width / 100), math.Round(r.y * height / 100), math.Round(r.w * width / 100), math.Round(r.h * height / 100)}
	}
	if r.w <= 0 || r.h <= 0 {
		return rectangle{}, bad("region %q has no width or no height", text)
	}
	if r.x >= width || r.y >= height {
		return rectangle{}, bad("region %q lies outside the image of %gx%g", text, width, height)
	}
	r.w, r.h = min(r.w, width-r.x), min(r.h, height-r.y)
	return r, nil
}

// number reads a number of at least 0, a whole one unless fractions may be.
func number(text string, fractions bool) (float64, bool) {
	for _, c := range text {
		if (c < '0' || c > '9') && (c != '.' || !fractions) {
			return 0, false
		}
	}
	v, err := strconv.ParseFloat(text, 64)
	return v, err == nil && v <= 1e9
}

// parseSize is section 4.2: max, w, ,h pct:n w,h !w,h and each with ^ before it,
// which allows more pixels than the region has.
func parseSize(text string, width, height float64) (int, int, error) {
	rest, up := strings.CutPrefix(text, "^")
	if rest == "max" {
		scale := min(maxSide/width, maxSide/height)
		if !up {
			scale = min(scale, 1)
		}
		return whole(width * scale), whole(height * scale), nil
	}
	w, h, err := askedSize(text, rest, up, width, height)
	if err != nil {
		return 0, 0, err
	}
	if !up && (w > whole(width) || h > whole(height)) {
		return 0, 0, bad("size %q is larger than the region of %gx%g; ask for %q to enlarge it", text, width, height, "^"+text)
	}
	if w > maxSide || h > maxSide {
		return 0, 0, bad("size %q: %dx%d is more than the %dx%d that is served", text, w, h, maxSide, maxSide)
	}
	return w, h, nil
}

func askedSize(text, rest string, up bool, width, height float64) (w, h int, err error) {
	if percent, ok := strings.CutPrefix(rest, "pct:"); ok {
		p, ok := number(percent, true)
		if !ok || p <= 0 {
			return 0, 0, bad("size %q: %q is not a number over 0", text, percent)
		}
		return whole(width * p / 100), whole(height * p / 100), nil
	}
	rest, fit := strings.CutPrefix(rest, "!")
	left, right, ok := strings.Cut(rest, ",")
	wide, okLeft := number(left, false)
	high, okRight := number(right, false)
	okLeft, okRight = okLeft && wide > 0, okRight && high > 0
	switch {
	case ok && fit && okLeft && okRight:
		scale := min(wide/width, high/height, maxSide/width, maxSide/height)
		if !up {
			scale = min(scale, 1)
		}
		return whole(width * scale), whole(height * scale), nil
	case ok && !fit && okLeft && okRight:
		return int(wide), int(high), nil
	case ok && !fit && okLeft && right == "":
		return int(wide), whole(height * wide / width), nil
	case ok && !fit && okRight && left == "":
		return whole(width * high / height), int(high), nil
	}
	return 0, 0, bad("size %q: it must be max, w,  ,h  pct:n  w,h or !w,h, and may begin with ^", text)
}

// whole rounds to pixels; there is always one.
func whole(v float64) int { return max(1, int(math.Round(v))) }

// parseRotation is section 4.3, in quarter turns.
func parseRotation(text string) (mirror bool, turns int, err error) {
	rest, mirror := strings.CutPrefix(text, "!")
	degrees, ok := number(rest, true)
	if !ok || degrees > 360 {
		return false, 0, bad("rotation %q: it must be a number from 0 to 360, and may begin with !", text)
	}
	if math.Mod(degrees, 90) != 0 {
		return false, 0, unsupported("rotation %q: only 0, 90, 180 and 270 are served here", text)
	}
	return mirror, int(degrees) / 90 % 4, nil
}
