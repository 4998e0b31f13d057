package targetgroup_test

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"plimsoll/discovery"
	"plimsoll/discovery/targetgroup"
	"plimsoll/mototest"
)

// balancer is what the tests ask of Elastic Load Balancing, real or not: a target
// group web.
type balancer struct {
	config aws.Config
	api    *elb.Client
	arn    string
	list   func(*testing.T) []string // what is registered, id:port, sorted
	put    func(t *testing.T, id string, port int)
}

func connect(url string) balancer {
	cfg := aws.Config{Region: "us-east-1", BaseEndpoint: &url, Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""), RetryMaxAttempts: 1}
	return balancer{config: cfg, api: elb.NewFromConfig(cfg)}
}

// balancers runs a test with targets that are addresses against the fake and against
// moto, which was written by others.
func balancers(t *testing.T, test func(t *testing.T, b balancer)) {
	t.Parallel()
	t.Run("fake", func(t *testing.T) {
		_, b := fake(t, "ip")
		test(t, b)
	})
	t.Run("moto", func(t *testing.T) {
		url := mototest.Start(t)
		b := connect(url)
		made, err := b.api.CreateTargetGroup(t.Context(), &elb.CreateTargetGroupInput{
			Name: aws.String("web"), Protocol: types.ProtocolEnumHttp, Port: aws.Int32(80), TargetType: types.TargetTypeEnumIp, VpcId: aws.String(vpc(t, url)),
		})
		if err != nil {
			t.Fatal(err)
		}
		b.arn = aws.ToString(made.TargetGroups[0].TargetGroupArn)
		b.list = func(t *testing.T) (list []string) {
			out, err := b.api.DescribeTargetHealth(t.Context(), &elb.DescribeTargetHealthInput{TargetGroupArn: &b.arn})
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range out.TargetHealthDescriptions {
				list = append(list, fmt.Sprintf("%s:%d", *h.Target.Id, *h.Target.Port))
			}
			slices.Sort(list)
			return list
		}
		b.put = func(t *testing.T, id string, port int) {
			_, err := b.api.RegisterTargets(t.Context(), &elb.RegisterTargetsInput{TargetGroupArn: &b.arn, Targets: []types.TargetDescription{{Id: &id, Port: aws.Int32(int32(port))}}})
			if err != nil {
				t.Fatal(err)
			}
		}
		test(t, b)
	})
}

// vpc is moto's own network.
func vpc(t *testing.T, endpoint string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint+"/", strings.NewReader("Action=DescribeVpcs&Version=2016-11-15"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	// The service is read from the scope; nobody checks the signature there.
	request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=none")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		ID string `xml:"vpcSet>item>vpcId"`
	}
	if err := xml.NewDecoder(response.Body).Decode(&answer); err != nil || answer.ID == "" {
		t.Fatalf("moto has no network: %v", err)
	}
	return answer.ID
}

// memory is a ledger.
type memory struct {
	text   []byte
	before func() // is called before each save
}

func (m *memory) Load() ([]byte, error) { return m.text, nil }
func (m *memory) Save(text []byte) error {
	if m.before != nil {
		m.before()
	}
	m.text = text
	return nil
}

func (b balancer) keeper(ledger targetgroup.Ledger, in ...string) *discovery.Keeper {
	o := targetgroup.Options{Config: func(context.Context) (aws.Config, error) { return b.config, nil }, Ledger: ledger}
	for _, name := range in {
		o.Places = append(o.Places, discovery.Place{Service: "web", In: name, Port: 8080})
	}
	return targetgroup.New(o)
}

func (b balancer) wants(t *testing.T, want ...string) {
	t.Helper()
	if got := b.list(t); !slices.Equal(got, want) {
		t.Errorf("the group has %q, want %q", got, want)
	}
}

func task(n int) discovery.Instance {
	return discovery.Instance{
		ID: fmt.Sprintf("task%d", n), Zone: "us-east-1a", Healthy: true, Address: netip.AddrFrom4([4]byte{10, 0, 1, byte(n)}), Host: "i-1",
		Ports: []discovery.Port{{Container: 9090, Host: 40000 + n}, {Container: 8080, Host: 32768 + n}},
	}
}

func shop(web ...discovery.Instance) discovery.Directory {
	return discovery.Directory{Cluster: "shop", Services: map[string][]discovery.Instance{"web": web}}
}

func try(t *testing.T, k *discovery.Keeper, d discovery.Directory) error {
	t.Helper()
	if err := k.SetDirectory(d); err != nil {
		t.Fatal(err)
	}
	return k.Sync(t.Context())
}

func syncTo(t *testing.T, k *discovery.Keeper, d discovery.Directory) {
	t.Helper()
	if err := try(t, k, d); err != nil {
		t.Fatal(err)
	}
}

func TestHealthyTasksAreTargetsAndThoseThatAreGoneAreNot(t *testing.T) {
	balancers(t, func(t *testing.T, b balancer) {
		for _, in := range []string{b.arn, "web"} {
			ledger := &memory{}
			sick := task(3)
			sick.Healthy = false
			syncTo(t, b.keeper(ledger, in), shop(task(1), task(2), sick))
			b.wants(t, "10.0.1.1:32769", "10.0.1.2:32770")
			// From now on another process: one that was killed has left the rest.
			syncTo(t, b.keeper(ledger, in), shop(task(2)))
			b.wants(t, "10.0.1.2:32770")
			syncTo(t, b.keeper(ledger, in), shop())
			b.wants(t)
		}
	})
}

func TestTargetsThatOthersRegisteredAreLeftAlone(t *testing.T) {
	balancers(t, func(t *testing.T, b balancer) {
		b.put(t, "10.0.9.9", 80)
		k := b.keeper(&memory{}, b.arn)
		syncTo(t, k, shop(task(1)))
		syncTo(t, k, shop())
		b.wants(t, "10.0.9.9:80")
	})
}

func TestATargetThatSomebodyRemovedComesBack(t *testing.T) {
	balancers(t, func(t *testing.T, b balancer) {
		k := b.keeper(nil, b.arn)
		syncTo(t, k, shop(task(1)))
		_, err := b.api.DeregisterTargets(t.Context(), &elb.DeregisterTargetsInput{TargetGroupArn: &b.arn, Targets: []types.TargetDescription{{Id: aws.String("10.0.1.1"), Port: aws.Int32(32769)}}})
		if err != nil {
			t.Fatal(err)
		}
		syncTo(t, k, shop(task(1)))
		b.wants(t, "10.0.1.1:32769")
	})
}

func TestInAGroupOfInstancesATaskIsItsHostAndPort(t *testing.T) {
	_, b := fake(t, "instance")
	k := b.keeper(nil, b.arn)
	syncTo(t, k, shop(task(1), task(2)))
	b.wants(t, "i-1:32769", "i-1:32770")
	alone := task(3)
	alone.Host = ""
	err := try(t, k, shop(task(1), alone))
	if err == nil || !strings.Contains(err.Error(), `"task3"`) || !strings.Contains(err.Error(), "target type ip") {
		t.Errorf("of a task with an address of its own it says %v", err)
	}
	b.wants(t, "i-1:32769")
}

func TestADrainReturnsWhenTheTargetHasDrained(t *testing.T) {
	f, b := fake(t, "ip")
	f.looks = 2
	k := b.keeper(nil, b.arn)
	syncTo(t, k, shop(task(1), task(2)))
	if err := k.Drain(t.Context(), "task1"); err != nil {
		t.Fatal(err)
	}
	f.change(func() {
		if _, there := f.targets["10.0.1.1:32769"]; there {
			t.Error("the drain returned while the target still drained")
		}
	})
	b.wants(t, "10.0.1.2:32770")
	f.looks = 1000
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := k.Drain(short, "task2"); err == nil || !strings.Contains(err.Error(), "deregistrationDelay") {
		t.Errorf("of a delay that is too long it says %v", err)
	}
	b.wants(t)
}

func TestWhatIsRegisteredIsWrittenDownBefore(t *testing.T) {
	f, b := fake(t, "ip")
	ledger := &memory{before: func() {
		if len(f.registered(nil)) > 0 {
			t.Error("a target was registered before it was written down")
		}
	}}
	syncTo(t, b.keeper(ledger, b.arn), shop(task(1)))
	if !strings.Contains(string(ledger.text), "10.0.1.1") {
		t.Errorf("the ledger has %s", ledger.text)
	}
}

func TestAGroupThatTheFileNamesNoMoreIsLeft(t *testing.T) {
	_, b := fake(t, "ip")
	ledger := &memory{}
	syncTo(t, b.keeper(ledger, b.arn), shop(task(1)))
	b.put(t, "10.0.9.9", 80)
	if err := try(t, b.keeper(ledger, "wbe"), shop(task(1))); err == nil || !strings.Contains(err.Error(), "its ARN or its name") {
		t.Errorf("of an unknown group it says %v", err)
	}
	b.wants(t, "10.0.1.1:32769", "10.0.9.9:80") // it may be the very group that is meant
	syncTo(t, b.keeper(ledger), shop(task(1)))
	b.wants(t, "10.0.9.9:80")
}

func TestATaskOfUnknownAddressKeepsItsTarget(t *testing.T) {
	_, b := fake(t, "ip")
	ledger := &memory{}
	syncTo(t, b.keeper(ledger, b.arn), shop(task(1), task(2)))
	lost := shop()
	lost.Unsure = map[string]bool{"task1": true}
	syncTo(t, b.keeper(ledger, b.arn), lost)
	b.wants(t, "10.0.1.1:32769")
}

func TestOneTargetThatIsRefusedStopsNoOther(t *testing.T) {
	f, b := fake(t, "ip")
	f.invalid = "10.0.1.2"
	err := try(t, b.keeper(nil, b.arn), shop(task(1), task(2), task(3)))
	var invalid *types.InvalidTargetException
	if !errors.As(err, &invalid) || !strings.Contains(err.Error(), "10.0.1.2:32770") {
		t.Errorf("it says %v", err)
	}
	b.wants(t, "10.0.1.1:32769", "10.0.1.3:32771")
}

func TestWhereECSRegistersItselfNothingIsDone(t *testing.T) {
	_, b := fake(t, "ip")
	d := shop(task(1))
	d.Kept = map[string][]string{"web": {b.arn}}
	if err := try(t, b.keeper(nil, "web"), d); err == nil || !strings.Contains(err.Error(), "take targetGroup out") {
		t.Errorf("it says %v", err)
	}
	b.wants(t)
}

func TestASteadyGroupCostsOneCall(t *testing.T) {
	f, b := fake(t, "ip")
	k := b.keeper(&memory{}, b.arn)
	for range 5 {
		syncTo(t, k, shop(task(1), task(2)))
	}
	if f.count("DescribeTargetHealth") != 5 || f.count("RegisterTargets") != 1 || f.count("DescribeTargetGroups") != 1 || f.count("DeregisterTargets") != 0 {
		t.Errorf("calls: %v", f.calls)
	}
}
