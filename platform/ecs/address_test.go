package ecs_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/mototest"
	"plimsoll/platform/ecs"
)

// behind has EC2's questions answered by another handler than ECS's.
type behind struct {
	ecs *wire
	ec2 http.Handler
}

func (b behind) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Amz-Target") == "" {
		b.ec2.ServeHTTP(w, r)
		return
	}
	b.ecs.ServeHTTP(w, r)
}

func (b behind) open(t *testing.T, o ecs.Options) *ecs.Cluster {
	t.Helper()
	b.ecs.page = 100
	o.Cluster, o.Endpoint = "shop", serve(t, b)
	return newCluster(t, o)
}

// bridged is a cluster with a bridge mode task on each of the EC2 instances, whose
// addresses ECS does not show.
func bridged(ids ...string) *wire {
	w := &wire{services: []body{wireService("web")}}
	for n, id := range ids {
		host := wireInstance(n)
		host["ec2InstanceId"], host["attributes"] = id, []body{}
		task := wireTask("web", fmt.Sprintf("%04d", n))
		task["containerInstanceArn"] = host["containerInstanceArn"]
		task["containers"] = []body{{"name": "web", "networkBindings": []body{{"bindIP": "0.0.0.0", "containerPort": 80, "hostPort": 32768 + n, "protocol": "tcp"}}}}
		w.instances, w.tasks = append(w.instances, host), append(w.tasks, task)
	}
	return w
}

// fakeEC2 knows instances i-… whose number gives their address, answers so many in a
// page, and notes the ids that it was asked for in each call.
type fakeEC2 struct {
	page   int
	refuse func(ids []string) bool
	mu     sync.Mutex
	asked  [][]string
}

func (f *fakeEC2) calls() [][]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

func (f *fakeEC2) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	var ids []string
	for n := 1; r.PostForm.Get(fmt.Sprintf("Filter.1.Value.%d", n)) != ""; n++ {
		ids = append(ids, r.PostForm.Get(fmt.Sprintf("Filter.1.Value.%d", n)))
	}
	f.mu.Lock()
	f.asked = append(f.asked, ids)
	f.mu.Unlock()
	if len(ids) > 200 || r.PostForm.Get("Action") != "DescribeInstances" || (f.refuse != nil && f.refuse(ids)) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>no</Message></Error></Errors></Response>")
		return
	}
	from, _ := strconv.Atoi(r.PostForm.Get("NextToken"))
	to := min(from+f.page, len(ids))
	_, _ = io.WriteString(w, "<DescribeInstancesResponse><reservationSet>")
	for _, id := range ids[from:to] {
		if n, err := strconv.Atoi(strings.TrimPrefix(id, "i-")); err == nil {
			_, _ = fmt.Fprintf(w, "<item><instancesSet><item><instanceId>%s</instanceId><privateIpAddress>10.0.%d.%d</privateIpAddress></item></instancesSet></item>", id, n/250, n%250)
		}
	}
	_, _ = io.WriteString(w, "</reservationSet>")
	if to < len(ids) {
		_, _ = fmt.Fprintf(w, "<nextToken>%d</nextToken>", to)
	}
	_, _ = io.WriteString(w, "</DescribeInstancesResponse>")
}

func numbered(n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprintf("i-%d", i))
	}
	return ids
}

// unreachable are the tasks that no address is known of.
func unreachable(c plimsoll.Cluster) (ids []string) {
	for _, t := range c.Tasks {
		if len(t.Endpoints) != 1 || t.Endpoints[0].Host == "" {
			ids = append(ids, t.ID())
		}
	}
	return ids
}

func TestTheAddressesOfHostsAreAskedOfEC2OncePageByPage(t *testing.T) {
	ec2 := &fakeEC2{page: 30}
	c := behind{bridged(numbered(250)...), ec2}.open(t, ecs.Options{})
	first := snapshot(t, c)
	if ids := unreachable(first); len(ids) > 0 || len(first.Tasks) != 250 {
		t.Fatalf("of %d tasks these have no address: %v", len(first.Tasks), ids)
	}
	for n, i := range first.Instances {
		if want := fmt.Sprintf("10.0.%d.%d", n/250, n%250); i.Address != want || first.Tasks[n].Endpoints[0].Host != want {
			t.Fatalf("host %d is at %q, its task at %+v, want %s", n, i.Address, first.Tasks[n].Endpoints, want)
		}
	}
	if n := len(ec2.calls()); n != 4+4+2 { // 100, 100 and 50 in pages of 30
		t.Errorf("EC2 was asked %d times, want 10", n)
	}
	if ids := unreachable(snapshot(t, c)); len(ids) > 0 {
		t.Errorf("at the second look these have no address: %v", ids)
	}
	if n := len(ec2.calls()); n != 10 {
		t.Errorf("EC2 was asked again for what it had told: %d calls", n)
	}
}

func TestOneRefusalOfEC2StopsNoOtherAddressAndIsTriedAgainLater(t *testing.T) {
	var refusing atomic.Bool
	refusing.Store(true)
	var later atomic.Int64
	var log bytes.Buffer
	ec2 := &fakeEC2{page: 1000, refuse: func(ids []string) bool { return refusing.Load() && slices.Contains(ids, "i-7") }}
	c := behind{bridged(numbered(150)...), ec2}.open(t, ecs.Options{
		Now: func() time.Time { return time.Unix(1_700_000_000+later.Load(), 0) }, Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	for range 3 {
		if n := len(unreachable(snapshot(t, c))); n != 50 && n != 100 {
			t.Fatalf("%d of 150 tasks have no address: one call of two was refused", n)
		}
	}
	if n := len(ec2.calls()); n != 2 {
		t.Errorf("EC2 was asked %d times within a moment, want 2", n)
	}
	if n := strings.Count(log.String(), "ec2:DescribeInstances"); n != 1 {
		t.Errorf("the way out was told %d times, want once:\n%s", n, log.String())
	}
	refusing.Store(false)
	later.Store(60)
	if ids := unreachable(snapshot(t, c)); len(ids) > 0 {
		t.Errorf("after EC2's recovery these have no address: %v", ids)
	}
}

func TestEC2IsAskedForNothingThatIsKnownOrThatNoTaskNeeds(t *testing.T) {
	w := bridged("i-0", "i-unknown", "mi-1", "i-3", "i-4")
	w.instances[0]["attributes"] = []body{{"name": ecs.AddressAttribute, "value": "127.64.1.1"}}
	w.tasks[3]["lastStatus"], w.tasks[3]["desiredStatus"] = "STOPPED", "STOPPED"
	w.tasks[4]["attachments"] = []body{{"type": "ElasticNetworkInterface", "details": []body{{"name": "privateIPv4Address", "value": "10.9.9.9"}}}}
	ec2 := &fakeEC2{page: 1000}
	cluster := snapshot(t, behind{w, ec2}.open(t, ecs.Options{}))
	if calls := ec2.calls(); len(calls) != 1 || !slices.Equal(calls[0], []string{"i-unknown"}) {
		t.Errorf("EC2 was asked for %q, want i-unknown alone", calls)
	}
	if cluster.Tasks[0].Endpoints[0].Host != "127.64.1.1" || cluster.Tasks[1].Endpoints[0].Host != "" {
		t.Errorf("tasks %+v", cluster.Tasks)
	}
}

// onward passes requests on as they are, for their signatures are of them.
func onward(t *testing.T, endpoint string) http.Handler {
	t.Helper()
	to, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	return httputil.NewSingleHostReverseProxy(to)
}

func TestTheEnginesEC2TellsTheAddressOfAHost(t *testing.T) {
	endpoint := startHostEngine(t, fleet())
	c := newCluster(t, ecs.Options{Cluster: "shop", Endpoint: endpoint})
	var host plimsoll.ContainerInstance
	for deadline := time.Now().Add(20 * time.Second); host.InstanceID == "" && time.Now().Before(deadline); {
		if seen := snapshot(t, c).Instances; len(seen) > 0 {
			host = seen[0]
		}
	}
	seen := snapshot(t, behind{bridged(host.InstanceID), onward(t, endpoint)}.open(t, ecs.Options{}))
	if got := seen.Instances[0].Address; got == "" || got != host.Address {
		t.Errorf("the host is at %q, want %q", got, host.Address)
	}
}

// runInstances has moto run so many instances, and gives their ids.
func runInstances(t *testing.T, endpoint string, count int) (ids []string) {
	t.Helper()
	status, text := motoEC2(t, endpoint, url.Values{"Action": {"RunInstances"}, "ImageId": {"ami-12c6146b"}, "MinCount": {strconv.Itoa(count)}, "MaxCount": {strconv.Itoa(count)}})
	var answer struct {
		IDs []string `xml:"instancesSet>item>instanceId"`
	}
	if err := xml.Unmarshal(text, &answer); err != nil || status != http.StatusOK || len(answer.IDs) != count {
		t.Fatalf("moto runs %d of %d instances: status %d, %v", len(answer.IDs), count, status, err)
	}
	return answer.IDs
}

func TestMotosEC2TellsTheAddressesOfHosts(t *testing.T) {
	endpoint := mototest.Start(t)
	reset(t, endpoint)
	ids := runInstances(t, endpoint, 120)
	seen := snapshot(t, behind{bridged(append(ids, "i-0123456789abcdef0")...), onward(t, endpoint)}.open(t, ecs.Options{}))
	if gone := unreachable(seen); len(gone) != 1 || len(seen.Tasks) != len(ids)+1 {
		t.Errorf("of %d tasks %v have no address; only the instance that does not exist has none", len(seen.Tasks), gone)
	}
}
