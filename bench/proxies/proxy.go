package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// proxy is one of those that are compared, while it runs.
type proxy struct {
	name    string
	address string
	cmd     *exec.Cmd // nil: none, straight to a backend
	workers bool      // its work is done by child processes
}

// begin starts a proxy's process and waits until it takes connections.
func begin(name, address string, workers bool, command ...string) (*proxy, error) {
	p := &proxy{name: name, address: address, workers: workers, cmd: exec.Command(command[0], command[1:]...)}
	log, err := os.CreateTemp("", "bench-router-"+name+"-*.log")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(log.Name()) // read while it is open only
	p.cmd.Stdout, p.cmd.Stderr = log, log
	// Its end must not be left to a signal that a terminal sends to all.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		answer, err := http.Get("http://" + address + "/128")
		if err != nil {
			continue
		}
		_ = answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			return p, nil
		}
	}
	said := make([]byte, 4<<10)
	n, _ := log.ReadAt(said, 0)
	p.end()
	return nil, fmt.Errorf("%s does not answer at %s; it said: %s", name, address, said[:n])
}

// end stops the process, by its id.
func (p *proxy) end() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	ended := make(chan struct{})
	go func() { _ = p.cmd.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill()
		<-ended
	}
}

// pids are the processes that do the proxy's work.
func (p *proxy) pids() []int {
	if p.cmd == nil {
		return nil
	}
	pids := []int{p.cmd.Process.Pid}
	if p.workers {
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pids[0], pids[0]))
		for _, field := range strings.Fields(string(data)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// cpu is the processor time that the proxy has used, in its own code and in the
// kernel's. The kernel counts it in hundredths of a second.
func (p *proxy) cpu() time.Duration {
	ticks := 0
	for _, pid := range p.pids() {
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, rest, _ := strings.Cut(string(data), ") ")
		fields := strings.Fields(rest)
		if len(fields) < 13 {
			continue
		}
		for _, field := range fields[11:13] { // utime and stime
			n, _ := strconv.Atoi(field)
			ticks += n
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// memory is what the proxy holds of the machine's memory, in bytes.
func (p *proxy) memory() int64 {
	total := int64(0)
	for _, pid := range p.pids() {
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		for line := range strings.Lines(string(data)) {
			if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
				kilobytes, _ := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
				total += kilobytes << 10
			}
		}
	}
	return total
}

func freeAddress() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err) // no free port on this machine
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// beginPlimsoll runs a compose file of four backends, as a user would, and gives
// their addresses: all proxies are measured before the same four.
func beginPlimsoll(dir string) (*proxy, []string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	file := filepath.Join(dir, "compose.yaml")
	compose := fmt.Sprintf(`name: bench
x-plimsoll: {hosts: {count: 1, zones: 1, cpu: 4096, memory: 4096M}}
services:
  web:
    command: [%q, "backend"]
    ports: ["8000"]
    deploy: {replicas: 4, resources: {reservations: {cpus: "0.25", memory: 64M}}}
    x-plimsoll: {min: 4, max: 4, route: {path: /}}
`, self)
	if err := os.WriteFile(file, []byte(compose), 0o600); err != nil {
		return nil, nil, err
	}
	address, ui := freeAddress(), freeAddress()
	p, err := begin("plimsoll", address, false, "bin/plimsoll", "up", "-f", file, "--state", filepath.Join(dir, "state"),
		"--router", address, "--ui", ui, "--aws", freeAddress())
	if err != nil {
		return nil, nil, err
	}
	backends, err := awaitTargets("http://"+ui+"/v1/services/web", 4)
	if err != nil {
		p.end()
		return nil, nil, err
	}
	return p, backends, nil
}

// awaitTargets waits for that many healthy targets, and gives their addresses.
func awaitTargets(url string, count int) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		var list struct {
			Router struct {
				Targets []struct {
					Address string
					Healthy bool
				}
			}
		}
		if answer, err := http.Get(url); err == nil {
			err = json.NewDecoder(answer.Body).Decode(&list)
			_ = answer.Body.Close()
			if err != nil {
				return nil, err
			}
		}
		var healthy []string
		for _, t := range list.Router.Targets {
			if t.Healthy {
				healthy = append(healthy, t.Address)
			}
		}
		if len(healthy) == count {
			return healthy, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil, errors.New("the four tasks did not become healthy")
}

// beginSelf runs one of the proxies that are in this program.
func beginSelf(name string, kind, backends []string) (*proxy, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	address := freeAddress()
	command := append([]string{self, kind[0], address}, kind[1:]...)
	return begin(name, address, false, append(command, backends...)...)
}

// beginNginx runs nginx with kept connections to the backends.
func beginNginx(dir string, backends []string) (*proxy, error) {
	address := freeAddress()
	servers := ""
	for _, b := range backends {
		servers += "server " + b + "; "
	}
	file := filepath.Join(dir, "nginx.conf")
	err := os.WriteFile(file, fmt.Appendf(nil, `daemon off; worker_processes auto; pid %s/nginx.pid; error_log /dev/null;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
  upstream web { least_conn; %s keepalive 256; keepalive_requests 1000000000; }
  server {
    listen %s;
    location / {
      proxy_pass http://web; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $http_host;
    }
  }
}
`, dir, servers, address), 0o600)
	if err != nil {
		return nil, err
	}
	return begin("nginx", address, true, "nginx", "-c", file)
}

// beginHaproxy runs haproxy with kept connections to the backends, and checks.
func beginHaproxy(dir string, backends []string) (*proxy, error) {
	address := freeAddress()
	servers := ""
	for i, b := range backends {
		servers += fmt.Sprintf("  server s%d %s check\n", i, b)
	}
	file := filepath.Join(dir, "haproxy.cfg")
	err := os.WriteFile(file, fmt.Appendf(nil, `global
  maxconn 4000
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
  http-reuse always
frontend web
  bind %s
  option forwardfor
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %%[req.hdr(host)]
  default_backend web
backend web
  balance random(2)
%s`, address, servers), 0o600)
	if err != nil {
		return nil, err
	}
	return begin("haproxy", address, false, "haproxy", "-db", "-f", file)
}

// beginFabio runs fabio with a static route to each backend.
func beginFabio(program string, backends []string) (*proxy, error) {
	address := freeAddress()
	routes := ""
	for _, b := range backends {
		routes += "route add web / http://" + b + "\n"
	}
	return begin("fabio", address, false, program, "-proxy.addr", address, "-ui.addr", freeAddress(),
		"-registry.backend", "static", "-registry.static.routes", routes, "-log.level", "WARN", "-proxy.maxconn", "1000")
}
