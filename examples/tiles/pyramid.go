package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"image/jpeg"
	"os"
	"path/filepath"
)

// job is the body of a message: a picture to be turned into tiles.
type job struct {
	ID     string `json:"id"`
	Width  int    `json:"width"`
	Height int    `json:"height"`
	Tile   int    `json:"tile"`
}

// Bounds of a job: what one worker can do within the hour.
const (
	maxPicture = 65536
	minTile    = 64
	maxTile    = 1024
)

func parseJob(body string) (job, error) {
	var j job
	if err := json.Unmarshal([]byte(body), &j); err != nil {
		return j, fmt.Errorf("the message %.200q is not a job: %w", body, err)
	}
	if j.Tile == 0 {
		j.Tile = 256
	}
	switch {
	case !identifier.MatchString(j.ID):
		return j, fmt.Errorf("job: id %q must have 1 to 64 letters, digits, dots, dashes and underscores", j.ID)
	case j.Width < 1 || j.Width > maxPicture || j.Height < 1 || j.Height > maxPicture:
		return j, fmt.Errorf("job %q: width %d and height %d must be from 1 to %d", j.ID, j.Width, j.Height, maxPicture)
	case j.Tile < minTile || j.Tile > maxTile:
		return j, fmt.Errorf("job %q: tile %d must be from %d to %d", j.ID, j.Tile, minTile, maxTile)
	}
	return j, nil
}

// pyramid is what became of a job.
type pyramid struct {
	levels, tiles int
	bytes         int64
	checksum      uint32 // CRC-32 (IEEE) of all tiles in their order
}

// build renders the tiles of a job, from the finest level to the one that fits
// into a single tile, and writes them to dir as id/level/x_y.jpg, or nowhere if
// dir is empty.
func (j job) build(ctx context.Context, dir string) (pyramid, error) {
	var done pyramid
	p := newPicture(j.ID, j.Width, j.Height)
	for scale := 1; ; scale *= 2 {
		area := j.Tile * scale
		for y := 0; y < j.Height; y += area {
			for x := 0; x < j.Width; x += area {
				if err := j.tile(ctx, p, &done, scale, x, y, dir); err != nil {
					return done, err
				}
			}
		}
		done.levels++
		if area >= j.Width && area >= j.Height {
			return done, nil
		}
	}
}

func (j job) tile(ctx context.Context, p picture, done *pyramid, scale, x, y int, dir string) error {
	area := rectangle{float64(x), float64(y), float64(min(j.Tile*scale, j.Width-x)), float64(min(j.Tile*scale, j.Height-y))}
	img, err := p.sample(ctx, area, whole(area.w/float64(scale)), whole(area.h/float64(scale)))
	if err != nil {
		return err
	}
	var body bytes.Buffer
	if err := jpeg.Encode(&body, img, &jpeg.Options{Quality: 82}); err != nil {
		return fmt.Errorf("tile %d,%d of %q: %w", x, y, j.ID, err)
	}
	done.tiles++
	done.bytes += int64(body.Len())
	done.checksum = crc32.Update(done.checksum, crc32.IEEETable, body.Bytes())
	if dir == "" {
		return nil
	}
	level := filepath.Join(dir, j.ID, fmt.Sprint(done.levels))
	if err := os.MkdirAll(level, 0o755); err != nil {
		return err
	}
	name := fmt.Sprintf("%d_%d.jpg", x/(j.Tile*scale), y/(j.Tile*scale))
	return os.WriteFile(filepath.Join(level, name), body.Bytes(), 0o644)
}
