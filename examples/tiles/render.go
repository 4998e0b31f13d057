package main

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"math"

	"golang.org/x/image/draw"
)

// oversampling is how many points are computed for each pixel of an answer, in
// one dimension: more is smoother, and dearer.
const oversampling = 1.25

// render makes the image that is asked for.
func render(ctx context.Context, p picture, r imageRequest) (image.Image, error) {
	w := min(whole(r.area.w), int(math.Ceil(oversampling*float64(r.width))))
	h := min(whole(r.area.h), int(math.Ceil(oversampling*float64(r.height))))
	sampled, err := p.sample(ctx, r.area, w, h)
	if err != nil {
		return nil, err
	}
	if w != r.width || h != r.height {
		scaled := image.NewRGBA(image.Rect(0, 0, r.width, r.height))
		draw.ApproxBiLinear.Scale(scaled, scaled.Bounds(), sampled, sampled.Bounds(), draw.Src, nil)
		sampled = scaled
	}
	return recolour(turn(sampled, r.mirror, r.turns), r.quality), nil
}

// turn mirrors left to right, and then turns clockwise by quarters.
func turn(in *image.RGBA, mirror bool, turns int) *image.RGBA {
	if !mirror && turns == 0 {
		return in
	}
	w, h := in.Bounds().Dx(), in.Bounds().Dy()
	size := image.Rect(0, 0, w, h)
	if turns%2 == 1 {
		size = image.Rect(0, 0, h, w)
	}
	out := image.NewRGBA(size)
	for y := range h {
		for x := range w {
			toX := x
			if mirror {
				toX = w - 1 - x
			}
			tx, ty := toX, y
			switch turns {
			case 1:
				tx, ty = h-1-y, toX
			case 2:
				tx, ty = w-1-toX, h-1-y
			case 3:
				tx, ty = y, w-1-toX
			}
			copy(out.Pix[out.PixOffset(tx, ty):], in.Pix[in.PixOffset(x, y):in.PixOffset(x, y)+4])
		}
	}
	return out
}

func recolour(in *image.RGBA, quality string) image.Image {
	switch quality {
	case "gray":
		out := image.NewGray(in.Bounds())
		draw.Draw(out, out.Bounds(), in, image.Point{}, draw.Src)
		return out
	case "bitonal":
		out := image.NewPaletted(in.Bounds(), color.Palette{color.Black, color.White})
		draw.FloydSteinberg.Draw(out, out.Bounds(), in, image.Point{})
		return out
	default:
		return in
	}
}

// mediaTypes are the formats that are served.
var mediaTypes = map[string]string{"jpg": "image/jpeg", "png": "image/png", "gif": "image/gif"}

func encode(w io.Writer, img image.Image, format string) error {
	switch format {
	case "jpg":
		return jpeg.Encode(w, img, &jpeg.Options{Quality: 82})
	case "png":
		return (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(w, img)
	case "gif":
		return gif.Encode(w, img, nil)
	}
	return fmt.Errorf("format %q: it must be jpg, png or gif", format)
}
