package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// wire is a client of a running engine.
func (p *program) wire() *wireClient {
	return &wireClient{url: p.run.AWS, region: p.run.Region, keys: p.credentials(), process: p.cmd.Process.Pid}
}

// register registers what the tasks of a benchmark are.
func (c *wireClient) register(b *testing.B, command string, cpu int) {
	b.Helper()
	if err := c.ecs("RegisterTaskDefinition", fmt.Sprintf(
		`{"family":"job","containerDefinitions":[{"name":"main","image":"busybox","command":%s,"cpu":%d,"memory":%d,"essential":true,"stopTimeout":2}]}`, command, cpu, cpu), nil); err != nil {
		b.Fatal(err)
	}
}

// run runs tasks and gives their ARNs.
func (c *wireClient) run(count int) ([]string, error) {
	var out struct {
		Tasks    []struct{ TaskArn string }
		Failures []struct{ Reason string }
	}
	if err := c.ecs("RunTask", fmt.Sprintf(`{"taskDefinition":"job","count":%d}`, count), &out); err != nil {
		return nil, err
	}
	if len(out.Failures) > 0 {
		return nil, fmt.Errorf("a task found no room: %s", out.Failures[0].Reason)
	}
	var arns []string
	for _, t := range out.Tasks {
		arns = append(arns, t.TaskArn)
	}
	return arns, nil
}

// timed runs single tasks from so many clients and gives what each took from the
// call to its own startedAt, and how many were RUNNING in a second.
func timed(b *testing.B, p *program, clients, tasks int) (times []time.Duration, perSecond float64) {
	b.Helper()
	c := p.wire()
	var mu sync.Mutex
	var sentAt []time.Time
	var arns []string
	began := time.Now()
	each(b, clients, tasks, func() error {
		sent := time.Now()
		got, err := c.run(1)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		sentAt, arns = append(sentAt, sent), append(arns, got[0])
		return nil
	})
	times = startTimes(b, p, arns, sentAt)
	last := began
	for i, took := range times {
		if at := sentAt[i].Add(took); at.After(last) {
			last = at
		}
	}
	return times, float64(tasks) / last.Sub(began).Seconds()
}

// BenchmarkEngineProcess: RunTask until RUNNING with plain processes, one at a
// time; then many at once, as fast as they become RUNNING. What the machine can
// do at best is what a bare fork and exec takes: see bare.
func BenchmarkEngineProcess(b *testing.B) {
	p := start(b, "engine", "--runtime", "process", "--hosts", "3", "--host-cpu", "65536", "--host-memory", "65536")
	c := p.wire()
	c.register(b, `["/bin/sleep","1000"]`, 4)
	one := make([]time.Duration, 0, *runs)
	for range *runs {
		times, _ := timed(b, p, 1, 1)
		one = append(one, times...)
	}
	_, rate := timed(b, p, 16, 3**runs)
	report(b, one, "")
	b.ReportMetric(rate, "tasks/s")
	b.ReportMetric(bare(b), "bare-starts/s")
}

// bare is how many processes a second this program starts and ends with nothing
// around them, two at a time.
func bare(b *testing.B) float64 {
	b.Helper()
	began := time.Now()
	const starts = 400
	each(b, 2, starts, func() error { return exec.Command("/bin/true").Run() })
	return starts / time.Since(began).Seconds()
}

// BenchmarkEnginePlacement: RunTask with nothing behind the tasks, durable, 16
// clients, on hosts that are 10 % full at the beginning and 90 % at the end.
func BenchmarkEnginePlacement(b *testing.B) {
	for _, hosts := range []int{1000, 10_000} {
		b.Run(fmt.Sprint("hosts=", hosts), func(b *testing.B) {
			p := start(b, "engine", "--runtime", "fake", "--hosts", fmt.Sprint(hosts), "--zones", "4", "--host-cpu", "1000", "--host-memory", "1000")
			c := p.wire()
			c.register(b, `["job"]`, 100)
			ten := func() error { _, err := c.run(10); return err }
			each(b, queueClients, hosts/10, ten) // 10 %
			times, rate := timed(b, p, queueClients, 8**runs)
			left := hosts*9 - hosts - 8**runs
			began, cpu := time.Now(), cpuOf(b, c.process)
			each(b, queueClients, left/10, ten) // to 90 %
			b.ReportMetric(float64(left)/time.Since(began).Seconds(), "placements/s")
			b.ReportMetric((cpuOf(b, c.process)-cpu)/float64(left), "cpu-us/placement")
			b.ReportMetric(rate, "tasks/s-one-a-call")
			report(b, times, "")
		})
	}
}

// BenchmarkEngineAPI is reads and writes of the ECS API with 1,000 running tasks,
// 16 clients; and the same of moto_server where it is installed, in the same run.
func BenchmarkEngineAPI(b *testing.B) {
	p := start(b, "engine", "--runtime", "fake", "--hosts", "250", "--host-cpu", "100000", "--host-memory", "100000")
	own := apiFigures(b, p.wire(), 1000)
	for what, n := range own {
		b.ReportMetric(n, what+"/s")
	}
	b.ReportMetric(0, "ns/op")
	moto := startMoto(b)
	if moto == nil {
		return
	}
	giveInstances(b, moto, 10)
	for what, n := range apiFigures(b, moto, 100) {
		b.ReportMetric(n, "moto-"+what+"/s")
		b.ReportMetric(own[what]/n, what+"-ratio")
	}
}

// giveInstances gives moto_server's cluster instances of its EC2, without which it
// runs no task.
func giveInstances(b *testing.B, moto *wireClient, count int) {
	b.Helper()
	text, err := moto.send("ec2", "application/x-www-form-urlencoded; charset=utf-8", "", fmt.Sprintf(
		"Action=RunInstances&Version=2016-11-15&ImageId=ami-12c6146b&MinCount=%d&MaxCount=%d", count, count))
	if err != nil {
		b.Fatal(err)
	}
	if err := moto.ecs("CreateCluster", `{"clusterName":"default"}`, nil); err != nil {
		b.Fatal(err)
	}
	for _, part := range strings.Split(string(text), "<instanceId>")[1:] {
		id, _, _ := strings.Cut(part, "<")
		if err := moto.ecs("RegisterContainerInstance", fmt.Sprintf(
			`{"cluster":"default","instanceIdentityDocument":"{\"instanceId\":\"%s\"}"}`, id), nil); err != nil {
			b.Fatal(err)
		}
	}
}

// apiFigures gives calls a second, with so many tasks running. moto_server has a
// hundred only: it answers ListTasks with all of them, whatever maxResults says.
func apiFigures(b *testing.B, c *wireClient, tasks int) map[string]float64 {
	b.Helper()
	type call struct{ name, body string }
	calls := []call{
		{"DescribeServices", `{"services":["web"]}`},
		{"ListTasks", `{"maxResults":100}`},
		{"UpdateService", `{"service":"web","desiredCount":0}`},
	}
	before := []call{
		{"RegisterTaskDefinition", `{"family":"job","containerDefinitions":[{"name":"main","image":"busybox","command":["job"],"cpu":1,"memory":6}]}`},
		{"CreateService", `{"serviceName":"web","taskDefinition":"job","desiredCount":0}`},
	}
	for _, one := range before {
		if err := c.ecs(one.name, one.body, nil); err != nil {
			b.Fatal(err)
		}
	}
	each(b, queueClients, tasks/10-1, func() error { _, err := c.run(10); return err })
	arns, err := c.run(10)
	if err != nil {
		b.Fatal(err)
	}
	calls = append(calls, call{"DescribeTasks", fmt.Sprintf(`{"tasks":[%q]}`, arns[0])}, call{"RunTask", `{"taskDefinition":"job","count":1}`})
	figures := map[string]float64{}
	for _, one := range calls {
		cpu := cpuOf(b, c.process)
		done, took := c.repeated(b, queueFor, one.name, one.body)
		figures[one.name] = done / took.Seconds()
		if c.process != 0 {
			b.ReportMetric((cpuOf(b, c.process)-cpu)/done, one.name+"-server-us")
		}
	}
	return figures
}

// repeated has clients make one call of ECS over and over, each on its own
// connection, for so long; it gives how often. The request is signed once and sent
// as it is: a client that costs as much as the server would be half of the figure.
func (c *wireClient) repeated(b *testing.B, d time.Duration, operation, body string) (float64, time.Duration) {
	b.Helper()
	r, err := c.request("ecs", "application/x-amz-json-1.1", "AmazonEC2ContainerServiceV20141113."+operation, body)
	if err != nil {
		b.Fatal(err)
	}
	var sent bytes.Buffer
	if err := r.Write(&sent); err != nil {
		b.Fatal(err)
	}
	var done atomic.Int64
	began := time.Now()
	each(b, queueClients, queueClients, func() error {
		for time.Since(began) < d {
			if err := exchange(r.URL.Host, sent.Bytes(), func() bool {
				done.Add(1)
				return time.Since(began) < d
			}); err != nil {
				return fmt.Errorf("%s: %w", operation, err)
			}
		}
		return nil
	})
	return float64(done.Load()), time.Since(began)
}

// exchange sends a request on a new connection and reads the answer, and so on while
// that is wanted and the server keeps the connection.
func exchange(address string, request []byte, goOn func() bool) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	reader := bufio.NewReader(conn)
	for {
		if _, err := conn.Write(request); err != nil {
			return err
		}
		answer, err := http.ReadResponse(reader, nil)
		if err != nil {
			return err
		}
		text, err := io.ReadAll(answer.Body)
		switch {
		case err != nil:
			return err
		case answer.StatusCode != http.StatusOK:
			return fmt.Errorf("%s: %s", answer.Status, text)
		case !goOn() || answer.Close:
			return nil
		}
	}
}

// BenchmarkEngineTenThousand: 10,000 running tasks: the memory that the engine
// has, and the time from a new start after SIGKILL to the first answer.
func BenchmarkEngineTenThousand(b *testing.B) {
	p := start(b, "engine", "--runtime", "fake", "--hosts", "100", "--host-cpu", "100000", "--host-memory", "100000")
	c := p.wire()
	c.register(b, `["job"]`, 1)
	each(b, queueClients, 1000, func() error { _, err := c.run(10); return err })
	var list struct {
		Clusters []struct{ RunningTasksCount int }
	}
	counted := func() bool {
		err := c.ecs("DescribeClusters", `{"clusters":["default"]}`, &list)
		return err == nil && len(list.Clusters) == 1 && list.Clusters[0].RunningTasksCount == 10_000
	}
	p.await("10,000 running tasks", counted)
	b.ReportMetric(resident(b, p.cmd.Process.Pid), "MB")
	var times, cpu []time.Duration
	for range 5 {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		began := time.Now()
		p.cmd = exec.Command(binary, p.args...)
		p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
		if err := p.cmd.Start(); err != nil {
			b.Fatal(err)
		}
		p.await("an answer", func() bool { return c.ecs("DescribeClusters", `{"clusters":["default"]}`, &list) == nil })
		times = append(times, time.Since(began))
		cpu = append(cpu, time.Duration(cpuOf(b, p.cmd.Process.Pid))*time.Microsecond)
	}
	report(b, times, "restart-")
	report(b, cpu, "restart-cpu-")
	b.ReportMetric(resident(b, p.cmd.Process.Pid), "MB-after-restart")
}

// resident is the memory of a process in megabytes.
func resident(b *testing.B, pid int) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		if rest, ok := strings.CutPrefix(string(line), "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb / 1024
		}
	}
	b.Fatal("no VmRSS")
	return 0
}
