package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"plimsoll/router"
)

// Handing listeners over: the old process listens at a Unix socket. The new one
// connects, gets the listeners' file descriptors with their addresses in one
// message (SCM_RIGHTS), serves on them, and sends one byte; then the old one
// takes no more connections and ends what is under way. Both hold the same
// listening sockets, so that no connection is refused in between, and what the
// new one cannot serve it leaves with the old one.

// handoverTime bounds each step of it; maxHanded is how many listeners go over.
const (
	handoverTime = 30 * time.Second
	maxHanded    = 64
)

// socket is one that can be handed over: a listener, or a connection of packets.
type socket interface {
	io.Closer
	File() (*os.File, error)
}

// inherited are sockets of another process, by address.
type inherited struct {
	mu      sync.Mutex
	sockets map[string]io.Closer
	conn    *net.UnixConn
}

// takeOver asks the process that listens at path for its listeners; none if
// there is no such process, or no path.
func takeOver(path string) (*inherited, error) {
	none := &inherited{sockets: map[string]io.Closer{}}
	if path == "" {
		return none, nil
	}
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return none, nil
	}
	if err != nil {
		return nil, fmt.Errorf("--handover %s: %w", path, err)
	}
	taken, err := receiveListeners(conn)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("--handover %s: %w", path, err), conn.Close())
	}
	taken.conn = conn
	return taken, nil
}

func receiveListeners(conn *net.UnixConn) (*inherited, error) {
	_ = conn.SetDeadline(time.Now().Add(handoverTime))
	message, oob := make([]byte, 16<<10), make([]byte, syscall.CmsgSpace(4*maxHanded))
	n, m, _, _, err := conn.ReadMsgUnix(message, oob)
	if err != nil {
		return nil, err
	}
	var addresses []string
	if err := json.Unmarshal(message[:n], &addresses); err != nil {
		return nil, fmt.Errorf("what the other process sent is no list of addresses: %w", err)
	}
	var fds []int
	controls, err := syscall.ParseSocketControlMessage(oob[:m])
	if err != nil {
		return nil, err
	}
	for _, c := range controls {
		rights, err := syscall.ParseUnixRights(&c)
		if err != nil {
			return nil, err
		}
		fds = append(fds, rights...)
	}
	taken := &inherited{sockets: map[string]io.Closer{}}
	for i, fd := range fds {
		open, err := socketOf(fd)
		if err != nil || i >= len(addresses) {
			return nil, errors.Join(err, fmt.Errorf("%d addresses came with %d listeners", len(addresses), len(fds)))
		}
		taken.sockets[addresses[i]] = open
	}
	return taken, nil
}

// socketOf is the listener, or the connection of packets, of a descriptor.
func socketOf(fd int) (io.Closer, error) {
	kind, problem := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_TYPE)
	file := os.NewFile(uintptr(fd), "socket")
	defer func() { _ = file.Close() }() // what is made of it has its own
	switch {
	case problem != nil:
		return nil, problem
	case kind == syscall.SOCK_DGRAM:
		return net.FilePacketConn(file)
	}
	return router.Inherit(file)
}

// take gives the socket of an address, once; nil if it was not handed over.
func (i *inherited) take(address string) io.Closer {
	i.mu.Lock()
	defer i.mu.Unlock()
	open := i.sockets[address]
	delete(i.sockets, address)
	return open
}

// another tells whether there is a process that hands its sockets over.
func (i *inherited) another() bool { return i != nil && i.conn != nil }

// serving tells the old process that this one serves now.
func (i *inherited) serving() error {
	if !i.another() {
		return nil
	}
	_, err := i.conn.Write([]byte{1})
	return err
}

// close drops what nobody has taken.
func (i *inherited) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, open := range i.sockets {
		_ = open.Close() // it is on its way out
	}
	if i.conn != nil {
		_ = i.conn.Close()
	}
}

// handOver offers this process's listeners at path. gone is closed when
// another serves on them. stop ends the offer.
func handOver(path string, from *inherited, open func() map[string]socket, log *slog.Logger) (gone <-chan struct{}, stop func(), err error) {
	taken := make(chan struct{})
	if path == "" {
		return taken, func() {}, nil
	}
	if err := from.serving(); err != nil {
		return nil, nil, fmt.Errorf("--handover %s: %w", path, err)
	}
	// What is there belongs to the process before, or to one that is dead.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("--handover: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, nil, fmt.Errorf("--handover: %w", err)
	}
	l.SetUnlinkOnClose(false) // by then it may be another's
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, nil, errors.Join(err, l.Close())
	}
	go func() {
		for {
			conn, err := l.AcceptUnix()
			if err != nil {
				return
			}
			err = sendListeners(conn, open())
			_ = conn.Close()
			if err == nil {
				close(taken)
				return
			}
			log.Warn("the listeners stay here: the handing over has failed", "err", err)
		}
	}()
	return taken, func() { _ = l.Close() }, nil
}

// sendListeners sends them and waits for the word that they are served.
func sendListeners(conn *net.UnixConn, sockets map[string]socket) error {
	_ = conn.SetDeadline(time.Now().Add(handoverTime))
	var addresses []string
	var fds []int
	for address, open := range sockets {
		if len(fds) == maxHanded {
			break
		}
		file, err := open.File()
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		// Not file.Fd(), which has the socket block: this process may read of it yet,
		// and could not end while it does.
		raw, err := file.SyscallConn()
		if err != nil {
			return err
		}
		if err := raw.Control(func(fd uintptr) { fds = append(fds, int(fd)) }); err != nil {
			return err
		}
		addresses = append(addresses, address)
	}
	text, err := json.Marshal(addresses)
	if err != nil {
		return err
	}
	if _, _, err := conn.WriteMsgUnix(text, syscall.UnixRights(fds...), nil); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}
