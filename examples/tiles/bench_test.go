package main

import (
	"bytes"
	"context"
	"testing"
)

// BenchmarkTile is the work of one request of the example's load.
func BenchmarkTile(b *testing.B) {
	p := newPicture("sea", pictureWidth, pictureHeight)
	for b.Loop() {
		r, err := parseImage("4096,4096,1024,1024", "256,", "0", "default.jpg", p.width, p.height)
		if err != nil {
			b.Fatal(err)
		}
		img, err := render(context.Background(), p, r)
		if err != nil {
			b.Fatal(err)
		}
		var body bytes.Buffer
		if err := encode(&body, img, r.format); err != nil {
			b.Fatal(err)
		}
	}
}
