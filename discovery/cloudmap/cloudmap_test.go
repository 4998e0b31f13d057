package cloudmap_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/servicediscovery"
	"github.com/aws/aws-sdk-go-v2/service/servicediscovery/types"

	"plimsoll/discovery"
	"plimsoll/discovery/cloudmap"
	"plimsoll/mototest"
)

// cloud is what the tests ask of Cloud Map, real or not: a service web in the
// namespace shop.local.
type cloud struct {
	config  aws.Config
	api     *servicediscovery.Client
	service string // its id
	arn     string
	fake    *fakeMap // nil where it is not the fake
}

func connect(t *testing.T, url string) cloud {
	t.Helper()
	cfg := aws.Config{Region: "us-east-1", BaseEndpoint: &url, Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", "")}
	cfg.RetryMaxAttempts = 1
	return cloud{config: cfg, api: servicediscovery.NewFromConfig(cfg)}
}

// clouds runs a test against the fake, whose operations take a while as Cloud Map's
// do, and against moto, which was written by others.
func clouds(t *testing.T, test func(t *testing.T, c cloud)) {
	t.Parallel()
	t.Run("fake", func(t *testing.T) { test(t, fakeCloud(t)) })
	t.Run("moto", func(t *testing.T) {
		c := connect(t, mototest.Start(t))
		namespace, err := c.api.CreatePrivateDnsNamespace(t.Context(), &servicediscovery.CreatePrivateDnsNamespaceInput{Name: aws.String("shop.local"), Vpc: aws.String("vpc-1")})
		if err != nil {
			t.Fatal(err)
		}
		operation, err := c.api.GetOperation(t.Context(), &servicediscovery.GetOperationInput{OperationId: namespace.OperationId})
		if err != nil {
			t.Fatal(err)
		}
		made, err := c.api.CreateService(t.Context(), &servicediscovery.CreateServiceInput{
			Name: aws.String("web"), NamespaceId: aws.String(operation.Operation.Targets["NAMESPACE"]),
			DnsConfig: &types.DnsConfig{DnsRecords: []types.DnsRecord{{Type: types.RecordTypeSrv, TTL: aws.Int64(1)}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		c.service, c.arn = aws.ToString(made.Service.Id), aws.ToString(made.Service.Arn)
		test(t, c)
	})
}

// keeper registers the tasks of web in the service.
func (c cloud) keeper(in string) *discovery.Keeper {
	return cloudmap.New(cloudmap.Options{
		Places: []discovery.Place{{Service: "web", In: in, Port: 8080}},
		Config: func(context.Context) (aws.Config, error) { return c.config, nil },
	})
}

func (c cloud) ids(t *testing.T) (ids []string) {
	t.Helper()
	out, err := c.api.ListInstances(t.Context(), &servicediscovery.ListInstancesInput{ServiceId: &c.service})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range out.Instances {
		ids = append(ids, aws.ToString(i.Id))
	}
	slices.Sort(ids)
	return ids
}

func (c cloud) wants(t *testing.T, want ...string) {
	t.Helper()
	if c.fake != nil {
		c.fake.finish()
	}
	if got := c.ids(t); !slices.Equal(got, want) {
		t.Errorf("the service has %q, want %q", got, want)
	}
}

func task(n int) discovery.Instance {
	return discovery.Instance{
		ID: fmt.Sprintf("task%d", n), Zone: "us-east-1a", Healthy: true, Address: netip.AddrFrom4([4]byte{10, 0, 1, byte(n)}),
		Ports: []discovery.Port{{Container: 9090, Host: 40000 + n}, {Container: 8080, Host: 32768 + n}},
	}
}

func shop(web ...discovery.Instance) discovery.Directory {
	return discovery.Directory{Cluster: "shop", Services: map[string][]discovery.Instance{"web": web}}
}

func syncTo(t *testing.T, k *discovery.Keeper, d discovery.Directory) {
	t.Helper()
	if err := k.SetDirectory(d); err != nil {
		t.Fatal(err)
	}
	if err := k.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestHealthyTasksAreInstancesAndThoseThatAreGoneAreNot(t *testing.T) {
	clouds(t, func(t *testing.T, c cloud) {
		for _, in := range []string{c.service, "web.shop.local"} {
			k := c.keeper(in)
			sick := task(3)
			sick.Healthy = false
			syncTo(t, k, shop(task(1), task(2), sick))
			c.wants(t, "plimsoll-task1-8080", "plimsoll-task2-8080")
			// From now on another process: one that was killed has left the rest.
			syncTo(t, c.keeper(in), shop(task(2)))
			c.wants(t, "plimsoll-task2-8080")
			syncTo(t, c.keeper(in), shop())
			c.wants(t)
		}
	})
}

func TestAnInstanceHasTheTasksAddressPortAndZone(t *testing.T) {
	clouds(t, func(t *testing.T, c cloud) {
		six := task(2)
		six.Address = netip.MustParseAddr("2001:db8::7")
		syncTo(t, c.keeper(c.service), shop(task(1), six))
		c.wants(t, "plimsoll-task1-8080", "plimsoll-task2-8080")
		for id, want := range map[string]map[string]string{
			"plimsoll-task1-8080": {"AWS_INSTANCE_IPV4": "10.0.1.1", "AWS_INSTANCE_PORT": "32769", "AVAILABILITY_ZONE": "us-east-1a", cloudmap.AttributeTask: "task1", cloudmap.AttributeCluster: "shop", cloudmap.AttributeService: "web"},
			"plimsoll-task2-8080": {"AWS_INSTANCE_IPV6": "2001:db8::7", "AWS_INSTANCE_PORT": "32770", "AVAILABILITY_ZONE": "us-east-1a", cloudmap.AttributeTask: "task2", cloudmap.AttributeCluster: "shop", cloudmap.AttributeService: "web"},
		} {
			out, err := c.api.GetInstance(t.Context(), &servicediscovery.GetInstanceInput{ServiceId: &c.service, InstanceId: &id})
			if err != nil {
				t.Fatal(err)
			}
			if !maps.Equal(out.Instance.Attributes, want) {
				t.Errorf("%s: %v, want %v", id, out.Instance.Attributes, want)
			}
		}
	})
}

func TestWhatOthersRegisteredIsLeftAlone(t *testing.T) {
	clouds(t, func(t *testing.T, c cloud) {
		for id, attributes := range map[string]map[string]string{
			"by-hand":             {"AWS_INSTANCE_IPV4": "10.0.1.1"},
			"plimsoll-task8-8080": {"AWS_INSTANCE_IPV4": "10.0.1.8", cloudmap.AttributeCluster: "bank", cloudmap.AttributeService: "web"},
			"plimsoll-task9-8080": {"AWS_INSTANCE_IPV4": "10.0.1.9", cloudmap.AttributeCluster: "shop", cloudmap.AttributeService: "another"},
		} {
			if _, err := c.api.RegisterInstance(t.Context(), &servicediscovery.RegisterInstanceInput{ServiceId: &c.service, InstanceId: &id, Attributes: attributes}); err != nil {
				t.Fatal(err)
			}
		}
		k := c.keeper(c.service)
		syncTo(t, k, shop(task(1)))
		c.wants(t, "by-hand", "plimsoll-task1-8080", "plimsoll-task8-8080", "plimsoll-task9-8080")
		syncTo(t, k, shop())
		c.wants(t, "by-hand", "plimsoll-task8-8080", "plimsoll-task9-8080")
	})
}

func TestADrainReturnsWhenCloudMapHasDoneItAndNoAnswerIsKept(t *testing.T) {
	clouds(t, func(t *testing.T, c cloud) {
		k := c.keeper(c.service)
		syncTo(t, k, shop(task(1), task(2)))
		c.wants(t, "plimsoll-task1-8080", "plimsoll-task2-8080")
		began := time.Now()
		if err := k.Drain(t.Context(), "task1"); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < time.Second {
			t.Errorf("the drain took %s, less than the second that answers may be kept", took)
		}
		if got := c.ids(t); !slices.Equal(got, []string{"plimsoll-task2-8080"}) { // without finish: it is done
			t.Errorf("after the drain the service has %q", got)
		}
	})
}

func TestATaskOfUnknownAddressKeepsItsInstance(t *testing.T) {
	c := fakeCloud(t)
	k := c.keeper(c.service)
	syncTo(t, k, shop(task(1)))
	c.wants(t, "plimsoll-task1-8080")
	lost := shop()
	lost.Unsure = map[string]bool{"task1": true}
	syncTo(t, k, lost)
	c.wants(t, "plimsoll-task1-8080")
}

func TestWhatIsUnderWayIsNotAskedForTwice(t *testing.T) {
	c := fakeCloud(t)
	c.fake.polls = 1000
	k := c.keeper(c.service)
	for range 3 {
		syncTo(t, k, shop(task(1)))
	}
	if n := c.fake.count("RegisterInstance"); n != 1 {
		t.Errorf("registered %d times while the first was under way", n)
	}
	// It is to leave before it has come: Cloud Map is busy with it first.
	c.fake.set(func(f *fakeMap) { f.polls = 0 })
	syncTo(t, k, shop())
	c.wants(t)
}

func TestAFailedOperationIsToldAndTriedAgain(t *testing.T) {
	c := fakeCloud(t)
	c.fake.set(func(f *fakeMap) { f.fail = "the hosted zone is full" })
	k := c.keeper(c.service)
	syncTo(t, k, shop(task(1)))
	c.fake.finish()
	c.fake.set(func(f *fakeMap) { f.fail = "" })
	if err := k.Sync(t.Context()); err == nil || !strings.Contains(err.Error(), "the hosted zone is full") {
		t.Errorf("the next comparison says %v", err)
	}
	syncTo(t, k, shop(task(1)))
	c.wants(t, "plimsoll-task1-8080")
}

func TestWhereECSRegistersItselfNothingIsDone(t *testing.T) {
	c := fakeCloud(t)
	k := c.keeper(c.service)
	d := shop(task(1))
	d.Kept = map[string][]string{"web": {c.arn}}
	if err := k.SetDirectory(d); err != nil {
		t.Fatal(err)
	}
	if err := k.Sync(t.Context()); err == nil || !strings.Contains(err.Error(), "take cloudMap out") {
		t.Errorf("it says %v", err)
	}
	c.wants(t)
}

func TestAnUnknownServiceIsNamedWithTheWayOutAndStopsNoOther(t *testing.T) {
	c := fakeCloud(t)
	k := cloudmap.New(cloudmap.Options{
		Places: []discovery.Place{{Service: "web", In: "wbe.shop.local", Port: 8080}, {Service: "web", In: c.service, Port: 9090}},
		Config: func(context.Context) (aws.Config, error) { return c.config, nil },
	})
	if err := k.SetDirectory(shop(task(1))); err != nil {
		t.Fatal(err)
	}
	if err := k.Sync(t.Context()); err == nil || !strings.Contains(err.Error(), `"wbe.shop.local"`) || !strings.Contains(err.Error(), "allowed") {
		t.Errorf("it says %v", err)
	}
	c.wants(t, "plimsoll-task1-9090")
}

// fakeMap is Cloud Map with one service: operations are done after so many looks at
// them, and one at a time for each instance.
type fakeMap struct {
	mu        sync.Mutex
	polls     int
	fail      string
	instances map[string]map[string]string
	ops       []*fakeOperation
	calls     map[string]int
}

type fakeOperation struct {
	id, instance, status, problem string
	attributes                    map[string]string // nil: deregister
	polls                         int
}

func fakeCloud(t *testing.T) cloud {
	t.Helper()
	f := &fakeMap{polls: 2, instances: map[string]map[string]string{}, calls: map[string]int{}}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	c := connect(t, server.URL)
	c.fake, c.service, c.arn = f, "srv-1", "arn:aws:servicediscovery:us-east-1:123456789012:service/srv-1"
	return c
}

func (f *fakeMap) set(change func(*fakeMap)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
	for _, op := range f.ops {
		op.polls = min(op.polls, f.polls)
	}
}

func (f *fakeMap) count(operation string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[operation]
}

// finish does all that is under way.
func (f *fakeMap) finish() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, op := range f.ops {
		f.do(op)
	}
}

func (f *fakeMap) do(op *fakeOperation) {
	switch {
	case op.status != "PENDING":
	case f.fail != "":
		op.status, op.problem = "FAIL", f.fail
	case op.attributes == nil:
		op.status = "SUCCESS"
		delete(f.instances, op.instance)
	default:
		op.status = "SUCCESS"
		f.instances[op.instance] = op.attributes
	}
}

func (f *fakeMap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	var in struct {
		Id, ServiceId, InstanceId, OperationId string
		Attributes                             map[string]string
	}
	_ = json.NewDecoder(r.Body).Decode(&in)
	f.calls[operation]++
	out, refused := f.answer(operation, in.Id, in.InstanceId, in.OperationId, in.Attributes)
	if refused != "" {
		w.Header().Set("X-Amzn-Errortype", refused)
		w.WriteHeader(http.StatusBadRequest)
	}
	_ = json.NewEncoder(w).Encode(out)
}

func (f *fakeMap) answer(operation, id, instance, opID string, attributes map[string]string) (out map[string]any, refused string) {
	type object = map[string]any
	switch operation {
	case "GetService":
		if id != "srv-1" {
			return object{"Message": "no such service"}, "ServiceNotFound"
		}
		return object{"Service": object{"Id": "srv-1", "Arn": "arn:aws:servicediscovery:us-east-1:123456789012:service/srv-1", "DnsConfig": object{"DnsRecords": []object{{"Type": "A", "TTL": 1}}}}}, ""
	case "ListNamespaces":
		return object{"Namespaces": []object{{"Id": "ns-0", "Name": "local"}, {"Id": "ns-1", "Name": "shop.local"}}}, ""
	case "ListServices":
		return object{"Services": []object{{"Id": "srv-1", "Name": "web"}}}, ""
	case "ListInstances":
		list := []object{}
		for id, attributes := range f.instances {
			list = append(list, object{"Id": id, "Attributes": attributes})
		}
		return object{"Instances": list}, ""
	case "GetInstance":
		return object{"Instance": object{"Id": instance, "Attributes": f.instances[instance]}}, ""
	case "GetOperation":
		for _, op := range f.ops {
			if op.id == opID {
				if op.polls--; op.polls < 0 {
					f.do(op)
				}
				return object{"Operation": object{"Id": op.id, "Status": op.status, "ErrorMessage": op.problem}}, ""
			}
		}
		return object{}, "OperationNotFound"
	}
	for _, op := range f.ops { // RegisterInstance, DeregisterInstance
		if op.instance == instance && op.status == "PENDING" {
			if op.polls--; op.polls < 0 {
				f.do(op)
			}
			return object{"Message": "busy"}, "ResourceInUse"
		}
	}
	if operation == "DeregisterInstance" && f.instances[instance] == nil {
		return object{"Message": "gone"}, "InstanceNotFound"
	}
	op := &fakeOperation{id: fmt.Sprintf("op-%d", len(f.ops)), instance: instance, status: "PENDING", polls: f.polls, attributes: attributes}
	f.ops = append(f.ops, op)
	return object{"OperationId": op.id}, ""
}
