package app

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"go.uber.org/zap/zapcore"
)

// faults passes on what a library that logs by zap calls an error. It may try again
// by itself, so that it is a warning here.
type faults struct {
	log  *slog.Logger
	with []zapcore.Field
}

var _ zapcore.Core = faults{}

// Enabled tells whether entries of a level are passed on.
func (f faults) Enabled(level zapcore.Level) bool { return level >= zapcore.ErrorLevel }

// With gives the same for a logger with more fields.
func (f faults) With(more []zapcore.Field) zapcore.Core {
	f.with = slices.Concat(f.with, more)
	return f
}

// Check is zap's way to ask who writes an entry.
func (f faults) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if f.Enabled(e.Level) {
		return to.AddCore(e, f)
	}
	return to
}

// Write passes an entry on.
func (f faults) Write(e zapcore.Entry, more []zapcore.Field) error {
	told := zapcore.NewMapObjectEncoder()
	for _, field := range slices.Concat(f.with, more) {
		if err, ok := field.Interface.(error); ok && strings.Contains(err.Error(), context.Canceled.Error()) {
			return nil // it was to end; the library does not always wrap the error
		}
		field.AddTo(told)
	}
	var attrs []slog.Attr
	for _, name := range slices.Sorted(maps.Keys(told.Fields)) {
		attrs = append(attrs, slog.Any(name, told.Fields[name]))
	}
	f.log.LogAttrs(context.Background(), slog.LevelWarn, "certificates: "+e.Message, attrs...)
	return nil
}

// Sync has nothing to do.
func (f faults) Sync() error { return nil }
