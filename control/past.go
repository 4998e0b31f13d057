package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"plimsoll/scale"
)

// The services' pasts are too large to be written with the rest of the memory
// every few seconds: pastFile has them as they were when it was last replaced,
// about once a day, and pastLog a line for each slot since.
const (
	pastFile    = "forecast.json"
	pastLog     = "forecast.jsonl"
	pastVersion = 1
	// pastLines is a day of slots.
	pastLines = 288
)

// keptPasts is the content of pastFile.
type keptPasts struct {
	Version  int                   `json:"version"`
	Services map[string]scale.Past `json:"services"`
}

// pastLine is a line of pastLog: what the services needed in a slot.
type pastLine struct {
	Slot  int64              `json:"slot"`
	Needs map[string]float64 `json:"needs"`
}

// pasts keeps what services needed, for their forecasts. It has no lock.
type pasts struct {
	dir     string
	written map[string]int64 // the newest slot on disk, by service
	lines   int              // of the log
	torn    bool             // the log's last line has no end
	failing bool             // the last writing failed, and that was said
}

// loadPasts reads what an earlier loop has left. Lines that cannot be understood
// are left out: each is a gap of five minutes.
func loadPasts(dir string, log *slog.Logger) (*pasts, map[string]scale.Past, error) {
	p := &pasts{dir: dir, written: map[string]int64{}}
	var file keptPasts
	if _, err := readKept(dir, pastFile, pastVersion, log, &file); err != nil || dir == "" {
		return p, nil, err
	}
	known := make(map[string]scale.Past, len(file.Services))
	for name, past := range file.Services {
		known[name] = past.Sound()
	}
	path := filepath.Join(dir, pastLog)
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("read the services' past: %w", err)
	}
	p.torn = len(content) > 0 && content[len(content)-1] != '\n'
	damaged := 0
	for text := range bytes.Lines(content) {
		var line pastLine
		if err := json.Unmarshal(text, &line); err != nil {
			damaged++
			continue
		}
		p.lines++
		for name, need := range line.Needs {
			known[name] = known[name].With(line.Slot, need)
			p.written[name] = line.Slot
		}
	}
	if damaged > 0 {
		log.Warn("lines of the services' past cannot be understood and are left out", "file", path, "lines", damaged)
	}
	return p, known, nil
}

// save writes down the slots that have ended since the last time.
func (p *pasts) save(memory scale.Memory) error {
	if p.dir == "" {
		return nil
	}
	bySlot := map[int64]map[string]float64{}
	for name, m := range memory.Services {
		if m.Forecast == nil || m.Forecast.Newest == 0 || m.Forecast.Newest == p.written[name] {
			continue
		}
		need, known := m.Forecast.Past.At(m.Forecast.Newest)
		if !known {
			continue
		}
		if bySlot[m.Forecast.Newest] == nil {
			bySlot[m.Forecast.Newest] = map[string]float64{}
		}
		bySlot[m.Forecast.Newest][name] = need
	}
	if len(bySlot) == 0 {
		return nil
	}
	if p.lines >= pastLines {
		return p.replace(memory)
	}
	return p.append(bySlot)
}

// append adds a line for each slot, and returns when they are on disk.
func (p *pasts) append(bySlot map[int64]map[string]float64) error {
	var text bytes.Buffer
	if p.torn {
		text.WriteByte('\n')
	}
	for _, slot := range slices.Sorted(maps.Keys(bySlot)) {
		line, err := json.Marshal(pastLine{slot, bySlot[slot]})
		if err != nil {
			return err
		}
		text.Write(append(line, '\n'))
	}
	f, err := os.OpenFile(filepath.Join(p.dir, pastLog), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text.Bytes())
	// What was written of a line that failed has no end.
	p.torn = err != nil
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	p.lines += len(bySlot)
	for slot, needs := range bySlot {
		for name := range needs {
			p.written[name] = slot
		}
	}
	return nil
}

// replace writes the pasts whole, and begins the log anew. If it is cut short
// between the two, the log's lines say again what the file has.
func (p *pasts) replace(memory scale.Memory) error {
	file := keptPasts{Version: pastVersion, Services: map[string]scale.Past{}}
	for name, m := range memory.Services {
		if m.Forecast != nil && len(m.Forecast.Past.Days) > 0 {
			file.Services[name] = m.Forecast.Past
		}
	}
	if err := replaceKept(p.dir, pastFile, file); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(p.dir, pastLog)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	p.lines, p.torn = 0, false
	for name := range file.Services {
		p.written[name] = memory.Services[name].Forecast.Newest
	}
	return nil
}

// recall puts what was read into the memory of the services that have a forecast.
func (l *Loop) recall(known map[string]scale.Past) {
	for _, policy := range l.policies {
		past, ok := known[policy.Service]
		if !ok || policy.Forecast == nil {
			continue
		}
		if l.memory.Services == nil {
			l.memory.Services = map[string]scale.ServiceMemory{}
		}
		m := l.memory.Services[policy.Service]
		m.Forecast = &scale.ForecastMemory{Past: past}
		l.memory.Services[policy.Service] = m
	}
}

// savePasts writes down the services' pasts. Not being able to stops nothing; it is
// said once, and tried again.
func (l *Loop) savePasts(memory scale.Memory) {
	err := l.pasts.save(memory)
	if err != nil && !l.pasts.failing {
		l.log.Warn("the services' past cannot be written", "error", err)
	}
	l.pasts.failing = err != nil
}
