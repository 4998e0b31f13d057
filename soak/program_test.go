package soak

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// The worker's task notes the stop signals that it gets, and passes them on; its
// jobs note when they begin and end. A line is one write to the end of one file, so
// that the file has them in their order, whatever is killed meanwhile.
const (
	taskScript = `export WORKER=$$
trap 'echo "term $WORKER" >>"$LEDGER"; kill -TERM $w' TERM
"$PLIMSOLL" work --queue "$QUEUE" --visibility 20s --idle 1s --retry-after 0s --log-level warn -- /bin/sh "$JOB" &
w=$!
while :; do
  wait $w; status=$?
  kill -0 $w 2>/dev/null || break
done
echo "left $WORKER" >>"$LEDGER"
exit $status
`
	jobScript = `read -r name length fails
echo "begin $WORKER $name" >>"$LEDGER"
sleep "$length"
if [ "$fails" = once ] && [ "$PLIMSOLL_MESSAGE_RECEIVES" = 1 ]; then
  echo "fail $WORKER $name" >>"$LEDGER"
  exit 1
fi
echo "end $WORKER $name" >>"$LEDGER"
`
)

// living is the built program, which is killed and started again on one state.
type living struct {
	t          *testing.T
	dir        string
	binary     string
	cmd        *exec.Cmd
	ended      chan struct{} // closed when cmd has ended
	log        bytes.Buffer
	lives      int
	run        struct{ UI, AWS, Region string }
	ecs        *awsecs.Client
	sqs        *awssqs.Client
	refusals   int
	scaleIns   int
	ledgerPath string
}

// newLiving starts the program with a compose file of its own, in which $task,
// $job, $ledger and $plimsoll stand for the scripts and files of this test.
func newLiving(t *testing.T, compose string) *living {
	t.Helper()
	p := &living{t: t, dir: t.TempDir()}
	p.binary, p.ledgerPath = filepath.Join(p.dir, "plimsoll"), filepath.Join(p.dir, "ledger")
	build := exec.Command("go", "build", "-o", p.binary, "plimsoll/cmd/plimsoll")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	compose = strings.NewReplacer("$task", filepath.Join(p.dir, "task"), "$job", filepath.Join(p.dir, "job"),
		"$ledger", p.ledgerPath, "$plimsoll", p.binary).Replace(compose)
	for name, text := range map[string]string{"compose.yaml": compose, "task": taskScript, "job": jobScript, "ledger": ""} {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	// The tasks may be another user's.
	for _, name := range []string{filepath.Dir(p.dir), p.dir, p.ledgerPath} {
		if err := os.Chmod(name, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(p.end)
	p.start()
	return p
}

// start starts the program and waits until it serves.
func (p *living) start() {
	p.t.Helper()
	p.lives++
	file := filepath.Join(p.dir, "state", "plimsoll.json")
	before, _ := os.ReadFile(file)
	p.cmd = exec.Command(p.binary, "up", "-f", filepath.Join(p.dir, "compose.yaml"), "--state", filepath.Join(p.dir, "state"),
		"--aws", "127.0.0.1:0", "--ui", "127.0.0.1:0", "--router", "127.0.0.1:0", "--runtime", "process")
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) { _ = cmd.Wait(); close(ended) }(p.cmd, p.ended)
	p.until("the program serves", time.Minute, func() bool {
		select {
		case <-p.ended:
			p.t.Fatal("the program has ended by itself")
		default:
		}
		data, err := os.ReadFile(file)
		if err != nil || bytes.Equal(data, before) || json.Unmarshal(data, &p.run) != nil || p.run.AWS == "" {
			return false
		}
		answer, err := http.Get(p.run.UI + "/v1/status")
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	cfg := aws.Config{Region: p.run.Region, BaseEndpoint: &p.run.AWS, Credentials: p.credentials()}
	p.ecs, p.sqs = awsecs.NewFromConfig(cfg), awssqs.NewFromConfig(cfg)
}

func (p *living) credentials() aws.CredentialsProvider {
	data, err := os.ReadFile(filepath.Join(p.dir, "state", "credentials"))
	if err != nil {
		p.t.Fatal(err)
	}
	values := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			values[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return credentials.NewStaticCredentialsProvider(values["aws_access_key_id"], values["aws_secret_access_key"], "")
}

// kill ends the engine and the control loop, which are one process, at once.
func (p *living) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// end stops the program as its user does, and its tasks with it.
func (p *living) end() {
	if p.ended == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGINT)
	select {
	case <-p.ended:
	case <-time.After(90 * time.Second):
		p.t.Error("the program has not ended 90 s after SIGINT")
		p.kill()
	}
	if p.t.Failed() {
		text := p.log.String()
		p.t.Logf("the program printed:\n%s\nthe ledger:\n%s", text[max(0, len(text)-6000):], strings.Join(p.ledger(), "\n"))
	}
}

func (p *living) until(what string, most time.Duration, so func() bool) {
	p.t.Helper()
	for end := time.Now().Add(most); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if so() {
			return
		}
	}
	p.t.Fatalf("not within %s: %s", most, what)
}

// send sends a message to the queue of that name.
func (p *living) send(queue, body string) {
	p.t.Helper()
	if _, err := p.sqs.SendMessage(p.t.Context(), &awssqs.SendMessageInput{QueueUrl: p.queueURL(queue), MessageBody: &body}); err != nil {
		p.t.Fatal(err)
	}
}

// queueURL is asked anew: it may be of a life before.
func (p *living) queueURL(queue string) *string {
	p.t.Helper()
	found, err := p.sqs.GetQueueUrl(p.t.Context(), &awssqs.GetQueueUrlInput{QueueName: &queue})
	if err != nil {
		p.t.Fatal(err)
	}
	return found.QueueUrl
}

// scaleIn writes a desired count that is lower than the running tasks, as somebody
// else's hand would; the engine is to find tasks that are not protected.
func (p *living) scaleIn(to int32) {
	ctx, cancel := context.WithTimeout(p.t.Context(), 5*time.Second)
	defer cancel()
	p.scaleIns++
	if _, err := p.ecs.UpdateService(ctx, &awsecs.UpdateServiceInput{Cluster: aws.String("soak"), Service: aws.String("worker"), DesiredCount: &to}); err != nil {
		p.refusals++ // DEPLOYMENT_BLOCKED, or the like, is an answer too
	}
}

// drain sets one host, by its place in the list, to DRAINING and all others to ACTIVE.
func (p *living) drain(n int) {
	ctx, cancel := context.WithTimeout(p.t.Context(), 5*time.Second)
	defer cancel()
	list, err := p.ecs.ListContainerInstances(ctx, &awsecs.ListContainerInstancesInput{Cluster: aws.String("soak")})
	if err != nil {
		p.t.Fatal(err)
	}
	for i, arn := range list.ContainerInstanceArns {
		status := types.ContainerInstanceStatusActive
		if i == n {
			status = types.ContainerInstanceStatusDraining
		}
		if _, err := p.ecs.UpdateContainerInstancesState(ctx, &awsecs.UpdateContainerInstancesStateInput{
			Cluster: aws.String("soak"), ContainerInstances: []string{arn}, Status: status,
		}); err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p *living) ledger() []string {
	text, err := os.ReadFile(p.ledgerPath)
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// account is what the ledger tells.
type account struct {
	begun, ended, failed map[string]int
	// interrupted are the stop signals that came to a worker with a job, and the jobs
	// that a worker left without an end.
	interrupted []string
	workers     int
	queues      map[string]map[string]bool // of each worker: the names of its jobs up to a dash
}

func read(lines []string) account {
	a := account{begun: map[string]int{}, ended: map[string]int{}, failed: map[string]int{}, queues: map[string]map[string]bool{}}
	busy := map[string]string{} // worker to job
	for n, line := range lines {
		words := append(strings.Fields(line), "", "", "")
		worker, job := words[1], words[2]
		switch words[0] {
		case "begin":
			a.begun[job]++
			if a.queues[worker] == nil {
				a.queues[worker] = map[string]bool{}
			}
			queue, _, _ := strings.Cut(job, "-")
			a.queues[worker][queue] = true
			busy[worker] = job
		case "end":
			a.ended[job]++
			delete(busy, worker)
		case "fail":
			a.failed[job]++
			delete(busy, worker)
		case "left":
			a.workers++
			if busy[worker] != "" {
				a.interrupted = append(a.interrupted, fmt.Sprintf("line %d: worker %s left in job %s", n+1, worker, busy[worker]))
			}
			delete(busy, worker)
		case "term":
			if busy[worker] != "" {
				a.interrupted = append(a.interrupted, fmt.Sprintf("line %d: worker %s had SIGTERM in job %s", n+1, worker, busy[worker]))
			}
		}
	}
	return a
}

// workers is a compose service of cooperative workers, one for each message of
// the queue of the service's name. The dollars of the environment are newLiving's.
const workers = `  %[1]s:
    command: [/bin/sh, $task]
    deploy: {resources: {reservations: {cpus: "0.125", memory: 64M}}}
    stop_grace_period: 60s
    environment: {QUEUE: %[1]s, LEDGER: $ledger, JOB: $job, PLIMSOLL: $plimsoll}
    x-plimsoll:
      priority: %[2]d
      min: 0
      max: %[3]d
      cooperative: true
      behavior: {scaleDown: {stabilizationWindow: 0s}, cooldown: 0s}
      triggers: [{type: aws-sqs-queue, queue: %[1]s, queueLength: 1, interval: 100ms}]
`

// TestTheBuiltProgramInterruptsNoJob has the program as it is built run plain
// commands under `plimsoll work`, while others lower its count, drain its hosts and
// kill it.
func TestTheBuiltProgramInterruptsNoJob(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: this test builds the program and runs it")
	}
	t.Parallel()
	jobs, scaleIns, kills, hosts, perHost, longest := 10, 40, 2, 2, 2, 1500
	if n := long(); n > 1 {
		jobs, scaleIns, kills, hosts, perHost, longest = 100, 1000, n, 5, 2, 15_000
	}
	p := newLiving(t, fmt.Sprintf(`
name: soak
x-plimsoll: {hosts: {count: %d, zones: %d, cpu: %d, memory: 8192M}}
services:
`, hosts, min(hosts, 3), 128*perHost)+fmt.Sprintf(workers, "worker", 1, hosts*perHost))
	for i := range jobs {
		fails := "never"
		if i%7 == 3 {
			fails = "once"
		}
		body := fmt.Sprintf("job-%d %.2f %s", i, float64(200+random(longest))/1000, fails)
		p.send("worker", body)
	}
	p.until("work begins", time.Minute, func() bool { return len(read(p.ledger()).begun) > 0 })
	for i := range scaleIns {
		p.scaleIn(int32(random(hosts * perHost)))
		if i%20 == 7 {
			p.drain(random(hosts))
		}
		if i%20 == 17 {
			p.drain(-1)
		}
		if i%(scaleIns/kills) == scaleIns/kills/2 {
			p.kill()
			p.start()
		}
		time.Sleep(time.Duration(random(2*longest*jobs/(hosts*perHost)/scaleIns/2)) * time.Millisecond)
	}
	p.drain(-1)
	p.until("all jobs done", 10*time.Minute, func() bool { return len(read(p.ledger()).ended) == jobs })
	p.until("the queue empty", time.Minute, func() bool { return p.depth("worker") == 0 })
	p.until("no task left", 2*time.Minute, func() bool { return p.desired("worker") == 0 })

	a := read(p.ledger())
	for _, what := range a.interrupted {
		t.Error(what)
	}
	doubles := 0
	for job, n := range a.begun {
		if a.failed[job] > 1 || a.ended[job] != 1 {
			t.Errorf("%s has begun %d times, failed %d times and ended %d times", job, n, a.failed[job], a.ended[job])
		}
		doubles += n - a.ended[job] - a.failed[job]
	}
	if len(a.begun) != jobs || doubles != 0 {
		t.Errorf("%d of %d jobs have begun, %d runs were too many; no worker has died", len(a.begun), jobs, doubles)
	}
	t.Logf("%d jobs in %d tasks, %d lives of the program, %d scale-ins (%d refused): %d double runs", jobs, a.workers, p.lives, p.scaleIns, p.refusals, doubles)
}

// depth counts the messages of the queue, visible or not.
func (p *living) depth(queue string) int {
	out, err := p.sqs.GetQueueAttributes(p.t.Context(), &awssqs.GetQueueAttributesInput{QueueUrl: p.queueURL(queue), AttributeNames: []sqstypes.QueueAttributeName{"All"}})
	if err != nil {
		p.t.Fatal(err)
	}
	total := 0
	for _, name := range []string{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"} {
		n := 0
		_, _ = fmt.Sscan(out.Attributes[name], &n)
		total += n
	}
	return total
}

// desired is a service's desired and running count together.
func (p *living) desired(service string) int {
	out, err := p.ecs.DescribeServices(p.t.Context(), &awsecs.DescribeServicesInput{Cluster: aws.String("soak"), Services: []string{service}})
	if err != nil || len(out.Services) != 1 {
		p.t.Fatal(err)
	}
	return int(out.Services[0].DesiredCount + out.Services[0].RunningCount + out.Services[0].PendingCount)
}
