package main

import (
	"context"
	"fmt"
	"image/jpeg"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// thumbSide is the width and height of a thumbnail, in pixels.
const thumbSide = 128

// thumbs makes thumbnails of random parts of random charts until ctx ends, and
// returns at once then: nothing is lost with a thumbnail.
func thumbs(ctx context.Context, nice int, log *slog.Logger) error {
	if nice < 0 || nice > 19 {
		return fmt.Errorf("nice %d: it must be from 0 to 19", nice)
	}
	var made, failed atomic.Int64
	// Only the thread that works steps back, so that the stop signal is heard
	// without waiting for a turn.
	go func() {
		runtime.LockOSThread()
		if err := unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), nice); err != nil {
			log.Warn("the worker could not step back for others", "nice", nice, "error", err)
		}
		random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), uint64(os.Getpid())))
		for ctx.Err() == nil {
			if err := thumbnail(ctx, random, io.Discard); err != nil {
				failed.Add(1)
				continue
			}
			made.Add(1)
		}
	}()
	log.Info("making thumbnails")
	const every = 10 * time.Second
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	before := int64(0)
	for {
		select {
		case <-ctx.Done():
			log.Info("gave way", "made", made.Load())
			return nil
		case <-ticker.C:
			now := made.Load()
			log.Info("thumbnails", "made", now, "per_second", float64(now-before)/every.Seconds(), "failed", failed.Load())
			before = now
		}
	}
}

// thumbnail makes one of a random square.
func thumbnail(ctx context.Context, random *rand.Rand, w io.Writer) error {
	side := float64(int(256) << random.IntN(6))
	p := newPicture(fmt.Sprintf("chart-%d", random.IntN(1000)), pictureWidth, pictureHeight)
	area := rectangle{random.Float64() * (pictureWidth - side), random.Float64() * (pictureHeight - side), side, side}
	img, err := render(ctx, p, imageRequest{area: area, width: thumbSide, height: thumbSide, quality: "color"})
	if err != nil {
		return err
	}
	return jpeg.Encode(w, img, &jpeg.Options{Quality: 75})
}
