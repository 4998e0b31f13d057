package app

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"plimsoll"
)

// Environment variables with which the test program starts itself again.
const (
	insideVariable = "PLIMSOLL_TEST_INSIDE" // in a network namespace of its own
	hostVariable   = "PLIMSOLL_TEST_HOST"   // as the tasks of a host, with their ports
	rudeVariable   = "PLIMSOLL_TEST_RUDE"   // as a task that drops all at SIGTERM
	nameVariable   = "PLIMSOLL_TEST_NAME"   // as a task that gives its name, on the address of the next
	onVariable     = "PLIMSOLL_TEST_ON"     // empty: on its own
)

func TestMain(m *testing.M) {
	if ports := os.Getenv(hostVariable); ports != "" {
		if err := beHost(strings.Fields(ports)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if os.Getenv(rudeVariable) != "" {
		fmt.Fprintln(os.Stderr, http.ListenAndServe(net.JoinHostPort(os.Getenv("HOST"), os.Getenv("PORT")), http.HandlerFunc(answerSlowly)))
		os.Exit(1)
	}
	if name := os.Getenv(nameVariable); name != "" {
		time.Sleep(time.Second) // as many take until they listen
		on := net.JoinHostPort(cmp.Or(os.Getenv(onVariable), os.Getenv("HOST")), os.Getenv("PORT"))
		fmt.Fprintln(os.Stderr, http.ListenAndServe(on, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, name)
		})))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// answerSlowly answers every request after a while.
func answerSlowly(w http.ResponseWriter, r *http.Request) {
	time.Sleep(700 * time.Millisecond)
	_, _ = io.Copy(w, r.Body)
}

// again is this program, started anew in a network namespace that ends with it.
func again(variable, value string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), variable+"="+value)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// inNamespace runs the test in a network namespace of its own, where it can make
// and break networks; it tells whether this is there. Without it the test is
// skipped.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideVariable) != "" {
		return true
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("no ip on the PATH (Debian: iproute2): no hosts are made to go away")
	}
	cmd := again(insideVariable, "1", "-test.run", "^"+t.Name()+"$", "-test.v", "-test.timeout", "10m")
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	}
	out, err := cmd.Output()
	if errors.Is(err, syscall.EPERM) {
		t.Skipf("no network namespace can be made here, which root can: %v", err)
	}
	if err != nil {
		t.Errorf("inside: %v", err)
	}
	t.Logf("inside:\n%s", out)
	if bytes.Contains(out, []byte("--- SKIP")) {
		t.Skipf("it was skipped in the namespace: %s", out)
	}
	return false
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// network is a router's host and the hosts of a cluster, in zones, on one bridge.
type network struct {
	t     *testing.T
	hosts []*aHost
}

// aHost is a network namespace with one process in it, which answers at the ports
// of the host's tasks.
type aHost struct {
	name, zone, address string
	ports               []string
	cmd                 *exec.Cmd
	in                  io.Writer

	mu    sync.Mutex
	posts map[string]int // what it got, and how often
}

// newNetwork makes so many hosts in each of the zones a, b and c, each with two
// tasks.
func newNetwork(t *testing.T, perZone int) *network {
	t.Helper()
	n := &network{t: t}
	if err := ip("link", "add", "br0", "type", "bridge"); err != nil {
		t.Skipf("no bridge can be made here: %v", err)
	}
	n.ip("addr", "add", "10.77.0.1/16", "dev", "br0")
	n.ip("link", "set", "br0", "up")
	n.ip("link", "set", "lo", "up")
	for z, zone := range []string{"a", "b", "c"} {
		for i := range perZone {
			n.hosts = append(n.hosts, n.start(zone, z+1, i+1))
		}
	}
	return n
}

func (n *network) ip(args ...string) {
	n.t.Helper()
	if err := ip(args...); err != nil {
		n.t.Fatal(err)
	}
}

// start starts a host. That its hardware address is known for good has packets to
// it vanish once it is gone: nobody says that it is.
func (n *network) start(zone string, z, i int) *aHost {
	n.t.Helper()
	h := &aHost{
		name: fmt.Sprintf("%s%d", zone, i), zone: zone, address: fmt.Sprintf("10.77.%d.%d", z, i),
		ports: []string{"8001", "8002"}, posts: map[string]int{},
	}
	h.cmd = again(hostVariable, strings.Join(h.ports, " "))
	in, err := h.cmd.StdinPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	if err := h.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(h.kill)
	h.in = in
	far, hardware := "host"+h.name, fmt.Sprintf("02:00:00:00:%02x:%02x", z, i)
	n.ip("link", "add", h.port(), "type", "veth", "peer", "name", far)
	n.ip("link", "set", far, "address", hardware)
	n.ip("link", "set", far, "netns", fmt.Sprint(h.cmd.Process.Pid))
	n.ip("link", "set", h.port(), "master", "br0", "up")
	n.ip("neigh", "replace", h.address, "lladdr", hardware, "dev", "br0", "nud", "permanent")
	fmt.Fprintf(h.in, "%s %s/16\n", far, h.address)
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "ready" {
		n.t.Fatalf("host %s: %q %v", h.name, lines.Text(), lines.Err())
	}
	go func() {
		for lines.Scan() {
			h.mu.Lock()
			h.posts[lines.Text()]++
			h.mu.Unlock()
		}
	}()
	return h
}

// port is the host's place on the bridge.
func (h *aHost) port() string { return "to-" + h.name }

// kill ends all that runs on the host.
func (h *aHost) kill() {
	_ = h.cmd.Process.Kill()
	_ = h.cmd.Wait()
}

// cut takes the cables of hosts out, and mend puts them in again.
func (n *network) cut(hosts ...*aHost) {
	for _, h := range hosts {
		n.ip("link", "set", h.port(), "down")
	}
}

func (n *network) mend(hosts ...*aHost) {
	for _, h := range hosts {
		n.ip("link", "set", h.port(), "up")
	}
}

// replace starts another host in the place of one that has died.
func (n *network) replace(dead *aHost) {
	n.t.Helper()
	i := slices.Index(n.hosts, dead)
	n.hosts[i] = n.start(dead.zone, int(dead.zone[0]-'a')+1, 100+i)
}

// in are the hosts of a zone.
func (n *network) in(zone string) (out []*aHost) {
	for _, h := range n.hosts {
		if h.zone == zone {
			out = append(out, h)
		}
	}
	return out
}

// cluster is what a platform tells of the hosts: they all run, and nobody has
// noticed anything.
func (n *network) cluster(services ...string) plimsoll.Cluster {
	c := plimsoll.Cluster{Name: "shop", At: time.Now()}
	for _, service := range services {
		for _, h := range n.hosts {
			for _, port := range h.ports {
				task := plimsoll.Task{
					ARN:     fmt.Sprintf("arn:aws:ecs:us-east-1:1:task/shop/%s-%s-%s", service, h.name, port),
					Service: service, Zone: h.zone, LastStatus: plimsoll.StatusRunning, DesiredStatus: plimsoll.StatusRunning,
				}
				number := 0
				_, _ = fmt.Sscan(port, &number)
				task.Endpoints = []plimsoll.Endpoint{{ContainerPort: 8080, Host: h.address, Port: number}}
				c.Tasks = append(c.Tasks, task)
			}
		}
	}
	return c
}

// beHost is a host's life: its network comes when its interface does, and then it
// serves until it is killed, or its maker has ended.
func beHost(ports []string) error {
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil {
		return err
	}
	var device, address string
	if _, err := fmt.Sscan(line, &device, &address); err != nil {
		return err
	}
	for _, args := range [][]string{{"addr", "add", address, "dev", device}, {"link", "set", device, "up"}, {"link", "set", "lo", "up"}} {
		if err := ip(args...); err != nil {
			return err
		}
	}
	var mu sync.Mutex
	serve := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "websocket" {
			greet(w, r, address)
			return
		}
		if r.URL.Path == "/sink" {
			_, _ = io.Copy(io.Discard, r.Body)
		}
		if id := r.FormValue("post"); id != "" {
			mu.Lock()
			fmt.Println(id)
			mu.Unlock()
		}
		length, _ := time.ParseDuration(r.FormValue("length"))
		time.Sleep(length)
		fmt.Fprint(w, address)
	}
	ended := make(chan error)
	for _, port := range ports {
		host, _, _ := strings.Cut(address, "/")
		l, err := net.Listen("tcp", net.JoinHostPort(host, port))
		if err != nil {
			return err
		}
		go func() { ended <- http.Serve(l, http.HandlerFunc(serve)) }()
	}
	fmt.Println("ready")
	return <-ended
}

// greet says over a WebSocket where it leads to, and what it hears.
func greet(w http.ResponseWriter, r *http.Request, address string) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	for message := []byte(address); err == nil; _, message, err = c.Read(r.Context()) {
		if c.Write(r.Context(), websocket.MessageText, message) != nil {
			return
		}
	}
}
