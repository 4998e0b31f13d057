package app

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"plimsoll/engine/store"
)

// A backup is a tar file, compressed by gzip: first a note of what it is, then
// the state's files, with each log written anew as it was at one moment.
const (
	archiveNote    = "plimsoll-backup.json"
	archiveVersion = 1
	archiveMost    = 64 << 30 // bytes that a backup may hold
)

type archiveHead struct {
	Version int       `json:"version"`
	Taken   time.Time `json:"taken"`
}

// BackupState writes a state to a file, which must not be there. The state may be
// in use: all that was answered when the call began is in the backup, each log
// as it was at one moment.
func BackupState(state, file string, now time.Time) (parts int, err error) {
	logs, files, err := stateParts(state)
	if err != nil {
		return 0, fmt.Errorf("--state %q: %w", state, err)
	}
	if len(logs)+len(files) == 0 {
		return 0, fmt.Errorf("--state %q: there is no state in it; name the folder that up or engine was started with", state)
	}
	if _, err := os.Lstat(file); err == nil {
		return 0, fmt.Errorf("backup %q: the file is there already; name another one", file)
	}
	work, err := os.MkdirTemp(filepath.Dir(file), ".plimsoll-backup-")
	if err != nil {
		return 0, fmt.Errorf("backup %q: %w", file, err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	for i, name := range logs {
		if err := store.Copy(filepath.Join(state, name), filepath.Join(work, fmt.Sprint(i))); err != nil {
			return 0, fmt.Errorf("backup %q: %w", file, err)
		}
	}
	temp := filepath.Join(work, "archive")
	if err := writeArchive(temp, now, func(w *tar.Writer) error {
		for _, name := range files {
			if err := packFile(w, filepath.Join(state, name), name); err != nil {
				return err
			}
		}
		for i, name := range logs {
			if err := packLog(w, filepath.Join(work, fmt.Sprint(i)), name); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return 0, fmt.Errorf("backup %q: %w", file, err)
	}
	// A link, unlike a renaming, does not replace what has come meanwhile.
	if err := os.Link(temp, file); err != nil {
		return 0, fmt.Errorf("backup %q: %w", file, err)
	}
	return len(logs) + len(files), syncFolder(filepath.Dir(file))
}

func writeArchive(path string, now time.Time, fill func(*tar.Writer) error) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	packed := gzip.NewWriter(f)
	w := tar.NewWriter(packed)
	head, err := json.Marshal(archiveHead{Version: archiveVersion, Taken: now.UTC()})
	if err != nil {
		return err
	}
	if err := pack(w, archiveNote, head); err != nil {
		return err
	}
	return errors.Join(fill(w), w.Close(), packed.Close(), f.Sync())
}

func pack(w *tar.Writer, name string, data []byte) error {
	if err := w.WriteHeader(&tar.Header{Name: filepath.ToSlash(name), Mode: 0o600, Size: int64(len(data))}); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

// packFile packs a file whole, as it is when it is read; one that is gone by now
// is left out.
func packFile(w *tar.Writer, path, name string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return pack(w, name, data)
}

func packLog(w *tar.Writer, dir, name string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := packFile(w, filepath.Join(dir, e.Name()), filepath.Join(name, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// unpack unpacks a backup into a folder and gives when it was taken.
func unpack(file, to string) (time.Time, error) {
	var head archiveHead
	f, err := os.Open(file)
	if err != nil {
		return head.Taken, err
	}
	defer func() { _ = f.Close() }()
	packed, err := gzip.NewReader(f)
	if err != nil {
		return head.Taken, fmt.Errorf("no backup of plimsoll: %w", err)
	}
	r := tar.NewReader(packed)
	left := int64(archiveMost)
	for first := true; ; first = false {
		entry, err := r.Next()
		if errors.Is(err, io.EOF) && !first {
			// What follows the last entry has to be whole too.
			if _, err := io.Copy(io.Discard, packed); err != nil {
				return head.Taken, err
			}
			return head.Taken, nil
		}
		if err != nil {
			return head.Taken, fmt.Errorf("no whole backup of plimsoll: %w", err)
		}
		if first {
			if err := readHead(r, entry, &head); err != nil {
				return head.Taken, err
			}
			continue
		}
		if left -= entry.Size; left < 0 {
			return head.Taken, fmt.Errorf("it holds more than %d bytes", int64(archiveMost))
		}
		if err := unpackFile(r, entry, to); err != nil {
			return head.Taken, err
		}
	}
}

func readHead(r io.Reader, entry *tar.Header, head *archiveHead) error {
	if entry.Name != archiveNote {
		return fmt.Errorf("no backup of plimsoll: it begins with %q, not with %q", entry.Name, archiveNote)
	}
	if err := json.NewDecoder(io.LimitReader(r, 4<<10)).Decode(head); err != nil {
		return fmt.Errorf("%s: %w", archiveNote, err)
	}
	if head.Version != archiveVersion {
		return fmt.Errorf("%s has version %d, and this program knows %d", archiveNote, head.Version, archiveVersion)
	}
	return nil
}

func unpackFile(r io.Reader, entry *tar.Header, to string) error {
	name := filepath.FromSlash(entry.Name)
	if entry.Typeflag != tar.TypeReg || !filepath.IsLocal(name) || strings.Contains(entry.Name, "\\") {
		return fmt.Errorf("it holds %q, which no backup does", entry.Name)
	}
	path := filepath.Join(to, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
