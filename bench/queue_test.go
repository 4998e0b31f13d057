package bench

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"plimsoll/mototest"
)

const (
	queueClients = 16
	queueFor     = 3 * time.Second // each figure is taken for so long
)

// BenchmarkQueue is the embedded queue as its clients see it: over HTTP, every
// request signed, durable, 16 clients on connections that are kept; and the same
// of moto_server, where it is installed, one after the other in one run.
//
// The client signs with the SDK's own signer and writes the JSON by hand: a whole
// SDK client takes more of the two cores than the server that it asks.
func BenchmarkQueue(b *testing.B) {
	p := start(b, "engine", "--runtime", "fake")
	own := measure(b, &wireClient{url: p.run.AWS, region: p.run.Region, keys: p.credentials(), process: p.cmd.Process.Pid})
	report := func(name string, figures map[string]float64) {
		for what, n := range figures {
			b.ReportMetric(n, name+what)
		}
	}
	report("", own)
	b.ReportMetric(0, "ns/op")
	moto := startMoto(b)
	if moto == nil {
		return
	}
	other := measure(b, moto)
	report("moto-", other)
	for what, n := range other {
		if own[what] > 0 && !strings.HasSuffix(what, "-us") {
			b.ReportMetric(own[what]/n, strings.TrimSuffix(what, "/s")+"-ratio")
		}
	}
}

// measure gives messages a second: sent in batches of ten; sent one by one;
// received and deleted one by one; received and deleted in batches of ten. Beside
// each is the CPU time of a message in microseconds, the server's own and the
// clients': those hold on a machine that is shared, too.
func measure(b *testing.B, c *wireClient) map[string]float64 {
	b.Helper()
	var made struct{ QueueUrl string }
	c.must(b, "CreateQueue", `{"QueueName":"bench"}`, &made)
	body := strings.Repeat("x", 256)
	var batch []string
	for i := range 10 {
		batch = append(batch, fmt.Sprintf(`{"Id":"%d","MessageBody":%q}`, i, body))
	}
	in := fmt.Sprintf(`{"QueueUrl":%q`, made.QueueUrl)
	sendTen := in + `,"Entries":[` + strings.Join(batch, ",") + `]}`
	sendOne := in + fmt.Sprintf(`,"MessageBody":%q}`, body)
	figures := map[string]float64{}
	for _, each := range []struct {
		name string
		f    func() (int, error)
	}{
		{"send-10", func() (int, error) { return 10, c.call("SendMessageBatch", sendTen, nil) }},
		{"send-1", func() (int, error) { return 1, c.call("SendMessage", sendOne, nil) }},
		{"receive-delete-1", func() (int, error) { return c.receive(in, 1) }},
		{"receive-delete-10", func() (int, error) { return c.receive(in, 10) }},
	} {
		server, client := cpuOf(b, c.process), cpuOf(b, os.Getpid())
		done, took := perSecond(b, queueFor, each.f)
		figures[each.name+"/s"] = done / took.Seconds()
		if c.process != 0 {
			figures[each.name+"-server-us"] = (cpuOf(b, c.process) - server) / done
			figures[each.name+"-client-us"] = (cpuOf(b, os.Getpid()) - client) / done
		}
	}
	return figures
}

// cpuOf is the CPU time of a process in microseconds; 0 for no process.
func cpuOf(b *testing.B, pid int) float64 {
	b.Helper()
	if pid == 0 {
		return 0
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	ticks := 0.0
	for _, field := range fields[11:13] { // user and system, in hundredths of a second
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return ticks * 10_000
}

// perSecond calls f from all clients for a time, and gives how much of what it
// counts was done, and in what time.
func perSecond(b *testing.B, d time.Duration, f func() (int, error)) (float64, time.Duration) {
	b.Helper()
	var done atomic.Int64
	began := time.Now()
	stop := began.Add(d)
	each(b, queueClients, queueClients, func() error {
		for time.Now().Before(stop) {
			n, err := f()
			if err != nil {
				return err
			}
			if n == 0 {
				return nil // nothing is left
			}
			done.Add(int64(n))
		}
		return nil
	})
	return float64(done.Load()), time.Since(began)
}

// receive receives up to most messages and deletes them; it gives how many.
func (c *wireClient) receive(in string, most int) (int, error) {
	var got struct {
		Messages []struct{ ReceiptHandle string }
	}
	if err := c.call("ReceiveMessage", in+`,"MaxNumberOfMessages":`+strconv.Itoa(most)+`}`, &got); err != nil {
		return 0, err
	}
	if len(got.Messages) == 0 {
		return 0, nil
	}
	if most == 1 {
		return 1, c.call("DeleteMessage", in+fmt.Sprintf(`,"ReceiptHandle":%q}`, got.Messages[0].ReceiptHandle), nil)
	}
	var entries []string
	for i, m := range got.Messages {
		entries = append(entries, fmt.Sprintf(`{"Id":"%d","ReceiptHandle":%q}`, i, m.ReceiptHandle))
	}
	return len(entries), c.call("DeleteMessageBatch", in+`,"Entries":[`+strings.Join(entries, ",")+`]}`, nil)
}

// wireClient speaks the JSON protocols, without the cost of a whole SDK client.
type wireClient struct {
	url, region string
	keys        aws.CredentialsProvider
	process     int // of the server; 0: not looked at
}

// queueHTTP keeps a connection for each client.
var queueHTTP = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: queueClients}}

var signer = v4.NewSigner()

func (c *wireClient) call(operation, body string, into any) error {
	return c.ask("sqs", "application/x-amz-json-1.0", "AmazonSQS."+operation, body, into)
}

// ecs calls an operation of ECS, whose JSON is of another version.
func (c *wireClient) ecs(operation, body string, into any) error {
	return c.ask("ecs", "application/x-amz-json-1.1", "AmazonEC2ContainerServiceV20141113."+operation, body, into)
}

func (c *wireClient) ask(service, content, operation, body string, into any) error {
	text, err := c.send(service, content, operation, body)
	if err != nil || into == nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// send signs and sends one request, and gives the answer to it.
func (c *wireClient) send(service, content, target, body string) ([]byte, error) {
	r, err := c.request(service, content, target, body)
	if err != nil {
		return nil, err
	}
	answer, err := queueHTTP.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK || bytes.Contains(text, []byte(`"Failed":[{`)) {
		return nil, fmt.Errorf("%s: %s: %s", target, answer.Status, text)
	}
	return text, nil
}

// request gives a signed request.
func (c *wireClient) request(service, content, target, body string) (*http.Request, error) {
	r, err := http.NewRequest(http.MethodPost, c.url+"/", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", content)
	if target != "" {
		r.Header.Set("X-Amz-Target", target)
	}
	keys, err := c.keys.Retrieve(context.Background())
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(body))
	return r, signer.SignHTTP(context.Background(), keys, r, hex.EncodeToString(sum[:]), service, c.region, time.Now())
}

func (c *wireClient) must(b *testing.B, operation, body string, into any) {
	b.Helper()
	if err := c.call(operation, body, into); err != nil {
		b.Fatal(err)
	}
}

// startMoto starts moto_server on a free port; nil where it is not installed.
func startMoto(b *testing.B) *wireClient {
	b.Helper()
	if _, err := exec.LookPath("moto_server"); err != nil {
		b.Log("moto_server is not installed: no comparison (pip install 'moto[server]')")
		return nil
	}
	return &wireClient{
		url: mototest.Start(b), region: "us-east-1",
		keys: credentials.NewStaticCredentialsProvider("test", "test", ""),
	}
}
