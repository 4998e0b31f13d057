package main

import (
	"context"
	"encoding/json"
	"errors"
	"image"
	_ "image/gif"
	_ "image/jpeg"
	_ "image/png"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

var quiet = slog.New(slog.DiscardHandler)

func TestRegionsOfTheImageAPI(t *testing.T) {
	const width, height = 400, 300
	for text, want := range map[string]rectangle{
		"full":              {0, 0, 400, 300},
		"square":            {50, 0, 300, 300},
		"10,20,30,40":       {10, 20, 30, 40},
		"390,290,100,100":   {390, 290, 10, 10}, // cropped at the edge
		"pct:25,50,50,50":   {100, 150, 200, 150},
		"pct:0,0,12.5,33.3": {0, 0, 50, 100},
	} {
		if got, err := parseRegion(text, width, height); err != nil || got != want {
			t.Errorf("%s: %v %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "all", "1,2,3", "1,2,3,4,5", "-1,0,5,5", "1.5,0,5,5", "0,0,0,5", "0,0,5,0", "400,0,1,1", "0,300,1,1", "pct:100,0,1,1", "pct:x,0,1,1", "1e3,0,1,1", "NaN,0,1,1", "pct:0,0,0.01,0.01"} {
		isRefused(t, "region "+text, http.StatusBadRequest, func() error { _, err := parseRegion(text, width, height); return err })
	}
}

func TestSizesOfTheImageAPI(t *testing.T) {
	for text, want := range map[string][2]int{
		"max":       {1000, 500},
		"^max":      {1024, 512},
		"500,":      {500, 250},
		",100":      {200, 100},
		"300,300":   {300, 300},
		"pct:10":    {100, 50},
		"!300,300":  {300, 150},
		"!9000,100": {200, 100},
		"!1500,900": {1000, 500}, // not larger than the region
		"^1020,":    {1020, 510},
		"^,510":     {1020, 510},
		"^pct:102":  {1020, 510},
		"^10,1010":  {10, 1010},
		"^!1500,9":  {18, 9},
		"^!1500,":   {},
		"1,":        {1, 1}, // never nothing
	} {
		w, h, err := parseSize(text, 1000, 500)
		if want == [2]int{} {
			if err == nil {
				t.Errorf("%s was taken", text)
			}
			continue
		}
		if err != nil || [2]int{w, h} != want {
			t.Errorf("%s: %d,%d %v, want %v", text, w, h, err, want)
		}
	}
	for _, text := range []string{"", "full", "1001,", ",501", "pct:101", "pct:0", "pct:-1", "pct:", "0,", ",0", ",", "0,0", "1.5,", "^3000,", "^pct:500", "a,b", "!5", "!,5", "^^5,", "max,"} {
		isRefused(t, "size "+text, http.StatusBadRequest, func() error { _, _, err := parseSize(text, 1000, 500); return err })
	}
	if w, h, err := parseSize("max", 16384, 8192); err != nil || w != maxSide || h != maxSide/2 {
		t.Errorf("max of a large region: %d,%d %v", w, h, err)
	}
}

func TestRotationsQualitiesAndFormatsOfTheImageAPI(t *testing.T) {
	for text, turns := range map[string]int{"0": 0, "90": 1, "180": 2, "270": 3, "360": 0, "90.0": 1} {
		for _, mark := range []string{"", "!"} {
			if mirror, got, err := parseRotation(mark + text); err != nil || got != turns || mirror != (mark == "!") {
				t.Errorf("%s%s: %v %d %v", mark, text, mirror, got, err)
			}
		}
	}
	for _, text := range []string{"", "!", "-90", "361", "left", "9e1", "90!"} {
		isRefused(t, "rotation "+text, http.StatusBadRequest, func() error { _, _, err := parseRotation(text); return err })
	}
	isRefused(t, "rotation 22.5", http.StatusNotImplemented, func() error { _, _, err := parseRotation("22.5"); return err })
	for last, code := range map[string]int{
		"default.jpg": 0, "color.png": 0, "gray.gif": 0, "bitonal.png": 0,
		"default": 400, "default.bmp": 400, "sepia.jpg": 400, ".jpg": 400, "default.JPG": 400,
		"default.webp": 501, "color.tif": 501,
	} {
		_, err := parseImage("full", "10,", "0", last, 100, 100)
		if code == 0 && err != nil {
			t.Errorf("%s: %v", last, err)
		}
		if code != 0 {
			isRefused(t, last, code, func() error { return err })
		}
	}
}

func isRefused(t *testing.T, what string, code int, f func() error) {
	t.Helper()
	var refused *requestError
	if err := f(); !errors.As(err, &refused) || refused.code != code || len(refused.reason) < 10 {
		t.Errorf("%s: %v, want a reasoned %d", what, err, code)
	}
}

func fetch(t *testing.T, path string) (*http.Response, []byte) {
	t.Helper()
	w := httptest.NewRecorder()
	handler(quiet).ServeHTTP(w, httptest.NewRequest("GET", "http://tiles.localhost"+path, nil))
	answer := w.Result()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, body
}

func TestAnImageHasTheFormatAndTheSizeAskedFor(t *testing.T) {
	for path, want := range map[string]struct {
		format string
		w, h   int
	}{
		"/iiif/sea/0,0,512,256/64,/0/default.jpg":     {"jpeg", 64, 32},
		"/iiif/sea/0,0,512,256/64,/90/color.png":      {"png", 32, 64},
		"/iiif/sea/square/!50,80/!180/bitonal.png":    {"png", 50, 50},
		"/iiif/sea/0,0,8,8/^32,16/270/gray.gif":       {"gif", 16, 32},
		"/iiif/sea/16380,16380,99,99/max/0/gray.png":  {"png", 4, 4},
		"/iiif/a.b-c_1/pct:10,10,1,1/,30/0/color.gif": {"gif", 30, 30},
	} {
		answer, body := fetch(t, path)
		if answer.StatusCode != 200 {
			t.Errorf("%s: %d %s", path, answer.StatusCode, body)
			continue
		}
		got, format, err := image.DecodeConfig(strings.NewReader(string(body)))
		if err != nil || format != want.format || got.Width != want.w || got.Height != want.h {
			t.Errorf("%s: %s %dx%d (%v), want %v", path, format, got.Width, got.Height, err, want)
		}
		if kind := answer.Header.Get("Content-Type"); kind != "image/"+want.format {
			t.Errorf("%s: content type %q", path, kind)
		}
	}
}

func TestARequestThatCannotBeServedIsAnsweredWithAReason(t *testing.T) {
	for path, code := range map[string]int{
		"/iiif/sea/full/max/0":                    400,
		"/iiif/sea/full/max/0/default.jpg/x":      400,
		"/iiif/sea/99999,0,1,1/max/0/default.jpg": 400,
		"/iiif/sea/full/99999,/0/default.jpg":     400,
		"/iiif/sea/full/max/45/default.jpg":       501,
		"/iiif/a%2Fb/full/max/0/default.jpg":      404,
		"/iiif/":                                  404,
		"/nothing":                                404,
	} {
		if answer, body := fetch(t, path); answer.StatusCode != code || len(body) < 10 {
			t.Errorf("%s: %d %q, want %d", path, answer.StatusCode, body, code)
		}
	}
}

func TestTheInformationOfAnImageSaysWhatIsServed(t *testing.T) {
	answer, body := fetch(t, "/iiif/sea/info.json")
	var got info
	if err := json.Unmarshal(body, &got); err != nil || answer.StatusCode != 200 {
		t.Fatalf("%d %v", answer.StatusCode, err)
	}
	if got.ID != "http://tiles.localhost/iiif/sea" || got.Width != pictureWidth || got.Profile != "level2" || got.Context != infoContext {
		t.Errorf("%+v", got)
	}
	if scales := got.Tiles[0].ScaleFactors; scales[len(scales)-1] != 64 {
		t.Errorf("scale factors %v", scales)
	}
	answer, _ = fetch(t, "/iiif/sea")
	if answer.StatusCode != 303 || answer.Header.Get("Location") != "http://tiles.localhost/iiif/sea/info.json" {
		t.Errorf("%d %q", answer.StatusCode, answer.Header)
	}
	if answer, body := fetch(t, "/"); answer.StatusCode != 200 || !strings.Contains(string(body), "/iiif/") {
		t.Errorf("the page: %d", answer.StatusCode)
	}
	if answer, _ := fetch(t, "/healthz"); answer.StatusCode != 200 {
		t.Errorf("health: %d", answer.StatusCode)
	}
}

func TestTheSamePictureIsDrawnTheSameEveryTime(t *testing.T) {
	const path = "/iiif/%s/4000,4000,500,500/50,/0/default.png"
	_, a := fetch(t, strings.Replace(path, "%s", "one", 1))
	_, b := fetch(t, strings.Replace(path, "%s", "one", 1))
	_, c := fetch(t, strings.Replace(path, "%s", "two", 1))
	if string(a) != string(b) {
		t.Error("the same picture differs")
	}
	if string(a) == string(c) {
		t.Error("another picture is the same")
	}
}

func TestTurnsAndMirrorsMoveTheCornersWhereTheyBelong(t *testing.T) {
	// 1 2 3
	// 4 5 6
	in := image.NewRGBA(image.Rect(0, 0, 3, 2))
	for i := range 6 {
		in.Pix[4*i] = uint8(i + 1)
	}
	for _, c := range []struct {
		mirror bool
		turns  int
		want   string
	}{
		{false, 0, "123 456"}, {false, 1, "41 52 63"}, {false, 2, "654 321"}, {false, 3, "36 25 14"},
		{true, 0, "321 654"}, {true, 1, "63 52 41"}, {true, 2, "456 123"}, {true, 3, "14 25 36"},
	} {
		out := turn(in, c.mirror, c.turns)
		var rows []string
		for y := range out.Bounds().Dy() {
			row := ""
			for x := range out.Bounds().Dx() {
				row += string('0' + rune(out.Pix[out.PixOffset(x, y)]))
			}
			rows = append(rows, row)
		}
		if got := strings.Join(rows, " "); got != c.want {
			t.Errorf("mirror %v, %d turns: %s, want %s", c.mirror, c.turns, got, c.want)
		}
	}
}

func TestQualitiesHaveTheirColours(t *testing.T) {
	p := newPicture("sea", pictureWidth, pictureHeight)
	for quality, colours := range map[string]int{"color": 3, "gray": 1, "bitonal": 1} {
		r, err := parseImage("full", "64,", "0", quality+".png", p.width, p.height)
		if err != nil {
			t.Fatal(err)
		}
		img, err := render(context.Background(), p, r)
		if err != nil {
			t.Fatal(err)
		}
		coloured, seen := false, map[uint32]bool{}
		for y := range 64 {
			for x := range 64 {
				r, g, b, _ := img.At(x, y).RGBA()
				coloured = coloured || r != g || g != b
				seen[r] = true
			}
		}
		if coloured != (colours == 3) || (quality == "bitonal") != (len(seen) == 2) {
			t.Errorf("%s: coloured %v, %d levels of red", quality, coloured, len(seen))
		}
	}
}

func TestARequestWhoseClientHasGoneIsNotFinished(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p := newPicture("sea", pictureWidth, pictureHeight)
	if _, err := p.sample(ctx, rectangle{0, 0, 1e4, 1e4}, 2048, 2048); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
