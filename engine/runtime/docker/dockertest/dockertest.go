// Package dockertest gives tests a Docker Engine of their own: a private dockerd,
// with its own socket and data, that a test may restart. It must not know of
// plimsoll's runtimes.
package dockertest

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/moby/moby/client"
)

// Variable names the environment variable with the folder of the private dockerd;
// empty: there is none. dockertest/run sets it, in namespaces that hold all that
// dockerd makes on the machine: its bridge, its rules, its mounts, its processes.
const Variable = "PLIMSOLL_TEST_DOCKERD"

// patience bounds how long dockerd may take to answer or to end; on a busy
// machine it has been seen to take 40 s.
const patience = 3 * time.Minute

// Daemon is a private dockerd.
type Daemon struct {
	dir  string
	cmd  *exec.Cmd
	done chan struct{}
}

// Private starts the dockerd that the environment asks for, and names it in
// DOCKER_HOST; nil if it asks for none.
func Private() (*Daemon, error) {
	dir := os.Getenv(Variable)
	if dir == "" {
		return nil, nil
	}
	d := &Daemon{dir: dir}
	if err := os.Setenv("DOCKER_HOST", d.Host()); err != nil {
		return nil, err
	}
	return d, d.Run()
}

// Host is the address of dockerd.
func (d *Daemon) Host() string { return "unix://" + filepath.Join(d.dir, "d.sock") }

// Run starts dockerd, with more arguments than its own, and returns when it
// answers.
func (d *Daemon) Run(args ...string) error {
	log, err := os.OpenFile(filepath.Join(d.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	d.cmd = exec.Command("dockerd", append([]string{
		"--host", d.Host(), "--data-root", filepath.Join(d.dir, "data"), "--exec-root", filepath.Join(d.dir, "exec"),
		"--pidfile", filepath.Join(d.dir, "pid"), "--config-file", filepath.Join(d.dir, "none.json"),
		"--cgroup-parent", "/" + filepath.Base(d.dir),
	}, args...)...)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := os.WriteFile(filepath.Join(d.dir, "none.json"), []byte("{}"), 0o600); err != nil {
		return err
	}
	if err := d.cmd.Start(); err != nil {
		return err
	}
	d.done = make(chan struct{})
	go func() {
		d.cmd.Wait()
		close(d.done)
	}()
	return d.await()
}

// await waits until dockerd answers.
func (d *Daemon) await() error {
	c, err := client.New(client.WithHost(d.Host()))
	if err != nil {
		return err
	}
	defer c.Close()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		_, err = c.Ping(context.Background(), client.PingOptions{NegotiateAPIVersion: true})
		if err == nil {
			return nil
		}
		select {
		case <-d.done:
			return fmt.Errorf("dockerd has ended: %s", d.log())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fmt.Errorf("dockerd does not answer: %w: %s", err, d.log())
}

// log is the end of what dockerd has written.
func (d *Daemon) log() []byte {
	text, err := os.ReadFile(filepath.Join(d.dir, "log"))
	if err != nil {
		return []byte(err.Error())
	}
	return text[max(0, len(text)-4000):]
}

// Stop ends dockerd as a system does; unless it runs with --live-restore, its
// containers end with it.
func (d *Daemon) Stop() error { return d.end(syscall.SIGTERM) }

// Kill ends dockerd without a warning; its containers run on.
func (d *Daemon) Kill() error { return d.end(syscall.SIGKILL) }

func (d *Daemon) end(s os.Signal) error {
	if err := d.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-d.done:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("dockerd does not end on %s: %s", s, d.log())
	}
}

// Import makes an image of the files, by their absolute paths in it, and of the
// machine's static busybox as /bin/sh and the like. It is one layer.
func Import(ctx context.Context, c *client.Client, image string, files map[string][]byte) error {
	var layer bytes.Buffer
	if err := WriteLayer(&layer, files); err != nil {
		return err
	}
	imported, err := c.ImageImport(ctx, client.ImageImportSource{Source: &layer, SourceName: "-"}, image, client.ImageImportOptions{})
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, imported)
	return errors.Join(err, imported.Close())
}

// applets are the names that busybox has in an image.
var applets = []string{"sh", "cat", "sleep", "httpd", "wget", "hostname", "true", "false", "mkdir"}

// WriteLayer writes the layer of such an image, as a tar.
func WriteLayer(to io.Writer, files map[string][]byte) error {
	busybox, err := Busybox()
	if err != nil {
		return err
	}
	w := tar.NewWriter(to)
	add := func(h tar.Header, data []byte) {
		h.Size, h.Mode = int64(len(data)), 0o755
		err = errors.Join(err, w.WriteHeader(&h))
		if len(data) > 0 {
			_, bad := w.Write(data)
			err = errors.Join(err, bad)
		}
	}
	add(tar.Header{Name: "bin/busybox"}, busybox)
	for _, name := range applets {
		add(tar.Header{Name: "bin/" + name, Typeflag: tar.TypeSymlink, Linkname: "busybox"}, nil)
	}
	for name, data := range files {
		add(tar.Header{Name: name[1:]}, data)
	}
	return errors.Join(err, w.Close())
}

// ErrNoBusybox says that the machine has no static busybox.
var ErrNoBusybox = errors.New("no static busybox was found: apt-get install busybox-static")

// Busybox is the machine's static busybox.
func Busybox() ([]byte, error) {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return nil, ErrNoBusybox
	}
	program, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer program.Close()
	for _, p := range program.Progs {
		if p.Type == elf.PT_INTERP {
			return nil, fmt.Errorf("%s needs shared libraries: %w", path, ErrNoBusybox)
		}
	}
	return os.ReadFile(path)
}
