package main

import (
	"context"
	"hash/fnv"
	"image"
	"math"
)

// Size of a picture where nobody asks for another, in pixels.
const (
	pictureWidth  = 16384
	pictureHeight = 16384
)

// picture is a chart of islands, made of fractal noise: the name decides all of
// it, and any part can be computed by itself at any scale.
type picture struct {
	seed          uint64
	width, height int
}

func newPicture(id string, width, height int) picture {
	h := fnv.New64a()
	h.Write([]byte(id))
	return picture{seed: h.Sum64(), width: width, height: height}
}

// coarsest is the wavelength of the first octave, in pixels: each further one
// is half as long, and half as high.
const coarsest = 4096

// sample computes w×h points, evenly spread over a rectangle of the picture
// given in pixels. It ends early, with ctx's error, when ctx does.
func (p picture) sample(ctx context.Context, area rectangle, w, h int) (*image.RGBA, error) {
	stepX, stepY := area.w/float64(w), area.h/float64(h)
	octaves := octavesFor(min(stepX, stepY))
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	// A row more and a column more than shown: the light comes from the slope.
	above := make([]float64, w+1)
	row := make([]float64, w+1)
	for y := -1; y < h; y++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for x := range row {
			row[x] = p.relief(area.x+(float64(x)-0.5)*stepX, area.y+(float64(y)+0.5)*stepY, octaves)
		}
		if y >= 0 {
			line := out.Pix[y*out.Stride:]
			for x := range w {
				slope := ((row[x+1] - row[x]) + (row[x+1] - above[x+1])) / stepX
				r, g, b := shade(row[x+1], slope)
				line[4*x], line[4*x+1], line[4*x+2], line[4*x+3] = r, g, b, 255
			}
		}
		above, row = row, above
	}
	return out, nil
}

// octavesFor is how many octaves can be seen at a distance of step pixels, and
// are high enough to change a colour.
func octavesFor(step float64) int {
	return min(9, max(3, int(math.Log2(coarsest/max(step, 1)))))
}

// relief is the height at a point, about -1 to 1; the sea is under 0.
func (p picture) relief(x, y float64, octaves int) float64 {
	x, y = x/coarsest, y/coarsest
	sum, height := 0.0, 0.9
	for octave := range octaves {
		sum += height * gradient(p.seed+uint64(octave)*0x9e3779b97f4a7c15, x, y)
		x, y, height = 2*x+17.3, 2*y+31.7, height/2
	}
	return sum
}

// gradient is Perlin's gradient noise (2002), with a hash in place of a table.
func gradient(seed uint64, x, y float64) float64 {
	fx, fy := math.Floor(x), math.Floor(y)
	ix, iy := int64(fx), int64(fy)
	x, y = x-fx, y-fy
	u, v := fade(x), fade(y)
	a := corner(seed, ix, iy, x, y)
	b := corner(seed, ix+1, iy, x-1, y)
	c := corner(seed, ix, iy+1, x, y-1)
	d := corner(seed, ix+1, iy+1, x-1, y-1)
	return (a+u*(b-a))*(1-v) + (c+u*(d-c))*v
}

func fade(t float64) float64 { return t * t * t * (t*(t*6-15) + 10) }

// corner is the slope that the hash gives to a grid point, at a distance from it.
func corner(seed uint64, ix, iy int64, dx, dy float64) float64 {
	h := seed ^ uint64(ix)*0xff51afd7ed558ccd ^ uint64(iy)*0xc4ceb9fe1a85ec53
	h = (h ^ h>>32) * 0x9fb21c651e98df25
	h ^= h >> 29
	g := &slopes[h&7]
	return g[0]*dx + g[1]*dy
}

// slopes are the directions that a grid point can rise in. A table, because a
// branch on a random number is guessed wrong most of the time.
var slopes = [8][2]float64{{1, 1}, {1, -1}, {-1, 1}, {-1, -1}, {1.41, 0}, {-1.41, 0}, {0, 1.41}, {0, -1.41}}

// tint is a colour at a height.
type tint struct{ height, r, g, b float64 }

var tints = []tint{
	{-0.60, 16, 42, 84}, {-0.25, 26, 74, 126}, {-0.06, 62, 124, 168}, {-0.005, 128, 188, 204},
	{0.0, 222, 208, 160}, {0.02, 164, 178, 104}, {0.14, 92, 138, 72}, {0.32, 128, 112, 76},
	{0.50, 150, 138, 126}, {0.62, 240, 240, 244},
}

// shade is the colour of a chart at a height, lit from the upper left.
func shade(height, slope float64) (r, g, b uint8) {
	i := 1
	for i < len(tints)-1 && height > tints[i].height {
		i++
	}
	low, high := tints[i-1], tints[i]
	t := min(1, max(0, (height-low.height)/(high.height-low.height)))
	light := 1.0
	if height > 0 {
		light = min(1.35, max(0.55, 1+slope*220))
	}
	mix := func(a, b float64) uint8 { return uint8(min(255, (a+t*(b-a))*light)) }
	return mix(low.r, high.r), mix(low.g, high.g), mix(low.b, high.b)
}
