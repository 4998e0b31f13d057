// Package ecsapi is the ECS API of the embedded engine: it turns the SDK's
// inputs into the engine's commands and the engine's state into the SDK's
// outputs, with ECS's words, limits and pages; and it serves what the ECS agent
// serves to tasks (Agent). It must not decide anything about tasks itself, nor
// know how requests are signed or encoded (engine/awsapi does), how the state is
// kept, or what the control loop wants.
package ecsapi

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	goruntime "runtime"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plimsoll/engine"
	"plimsoll/engine/awsapi"
	"plimsoll/engine/runtime"
)

// Engine is the running engine: engine/daemon's Daemon.
type Engine interface {
	// Do carries a command out, durably; a refusal is an *engine.Error.
	Do(ctx context.Context, c engine.Command) (any, error)
	// Read calls f with the state between two steps.
	Read(f func(engine.View))
}

// Options are what the service is made with.
type Options struct {
	Engine Engine
	// Abilities are those of what runs the containers. What it cannot honour is
	// refused at registration.
	Abilities runtime.Abilities
	// Architecture is the machine's, in Go's words; empty: this program's.
	Architecture string
	// Now is the clock that protections are read against; nil is time.Now.
	Now func() time.Time
	// Version is told as the container instances' agent version.
	Version string
}

const defaultVersion = "1.0.0"

// api is what the operations share.
type api struct {
	engine  Engine
	codec   *awsapi.Codec
	able    abilities
	version string
	now     func() time.Time
}

// New makes the service for awsapi.New.
func New(o Options) (*awsapi.Service, error) {
	if o.Engine == nil {
		return nil, errors.New("the ECS API needs an engine")
	}
	if o.Architecture == "" {
		o.Architecture = goruntime.GOARCH
	}
	if o.Version == "" {
		o.Version = defaultVersion
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	able, err := abilitiesOf(o.Abilities, o.Architecture)
	if err != nil {
		return nil, err
	}
	a := &api{engine: o.Engine, codec: newCodec(), able: able, version: o.Version, now: o.Now}
	return &awsapi.Service{
		Name: "ecs", Target: "AmazonEC2ContainerServiceV20141113", JSONVersion: "1.1",
		Codec: a.codec, Operations: a.operations(),
	}, nil
}

func newCodec() *awsapi.Codec { return awsapi.NewCodec(&types.UnknownUnionMember{}) }

func (a *api) operations() []awsapi.Operation {
	return []awsapi.Operation{
		awsapi.Op("CreateCluster", a.createCluster),
		awsapi.Op("DescribeClusters", a.describeClusters),
		awsapi.Op("ListClusters", a.listClusters),
		awsapi.Op("RegisterTaskDefinition", a.registerTaskDefinition),
		awsapi.Op("DescribeTaskDefinition", a.describeTaskDefinition),
		awsapi.Op("ListTaskDefinitions", a.listTaskDefinitions),
		awsapi.Op("ListTaskDefinitionFamilies", a.listTaskDefinitionFamilies),
		awsapi.Op("DeregisterTaskDefinition", a.deregisterTaskDefinition),
		awsapi.Op("CreateService", a.createService),
		awsapi.Op("UpdateService", a.updateService),
		awsapi.Op("DescribeServices", a.describeServices),
		awsapi.Op("ListServices", a.listServices),
		awsapi.Op("DeleteService", a.deleteService),
		awsapi.Op("RunTask", a.runTask),
		awsapi.Op("StopTask", a.stopTask),
		awsapi.Op("ListTasks", a.listTasks),
		awsapi.Op("DescribeTasks", a.describeTasks),
		awsapi.Op("ListContainerInstances", a.listContainerInstances),
		awsapi.Op("DescribeContainerInstances", a.describeContainerInstances),
		awsapi.Op("UpdateContainerInstancesState", a.updateContainerInstancesState),
		awsapi.Op("UpdateTaskProtection", a.updateTaskProtection),
		awsapi.Op("GetTaskProtection", a.getTaskProtection),
		awsapi.Op("ListTagsForResource", a.listTagsForResource),
		awsapi.Op("TagResource", a.tagResource),
		awsapi.Op("UntagResource", a.untagResource),
		awsapi.Op("DeleteCluster", a.deleteCluster),
		awsapi.Op("UpdateCluster", a.updateCluster),
		awsapi.Op("UpdateClusterSettings", a.updateClusterSettings),
		awsapi.Op("PutClusterCapacityProviders", a.putClusterCapacityProviders),
		awsapi.Op("DeleteTaskDefinitions", a.deleteTaskDefinitions),
		awsapi.Op("RegisterContainerInstance", a.registerContainerInstance),
		awsapi.Op("DeregisterContainerInstance", a.deregisterContainerInstance),
		awsapi.Op("DiscoverPollEndpoint", a.discoverPollEndpoint),
		awsapi.Op("StartTask", a.startTask),
		awsapi.Op("ListAccountSettings", a.listAccountSettings),
		awsapi.Op("PutAccountSetting", a.putAccountSetting),
		awsapi.Op("PutAccountSettingDefault", a.putAccountSettingDefault),
		awsapi.Op("DeleteAccountSetting", a.deleteAccountSetting),
		awsapi.Op("CreateCapacityProvider", a.createCapacityProvider),
		awsapi.Op("DescribeCapacityProviders", a.describeCapacityProviders),
		awsapi.Op("UpdateCapacityProvider", a.updateCapacityProvider),
		awsapi.Op("DeleteCapacityProvider", a.deleteCapacityProvider),
		awsapi.Op("PutAttributes", a.putAttributes),
		awsapi.Op("DeleteAttributes", a.deleteAttributes),
		awsapi.Op("ListAttributes", a.listAttributes),
		awsapi.Op("ListServiceDeployments", a.listServiceDeployments),
		awsapi.Op("DescribeServiceDeployments", a.describeServiceDeployments),
		awsapi.Op("DescribeServiceRevisions", a.describeServiceRevisions),
		awsapi.Op("StopServiceDeployment", a.stopServiceDeployment),
		awsapi.Op("ListServicesByNamespace", a.listServicesByNamespace),
		awsapi.Op("SubmitTaskStateChange", a.submitTaskStateChange),
		awsapi.Op("SubmitContainerStateChange", a.submitContainerStateChange),
		awsapi.Op("SubmitAttachmentStateChanges", a.submitAttachmentStateChanges),
		awsapi.Op("UpdateContainerAgent", a.updateContainerAgent),
		awsapi.Op("ExecuteCommand", a.executeCommand),
	}
}

// The exceptions that this package itself refuses with.
const (
	codeInvalid         = "InvalidParameterException"
	codeClient          = "ClientException"
	codeClusterNotFound = "ClusterNotFoundException"
	codeServiceNotFound = "ServiceNotFoundException"
	codeServer          = "ServerException"
	codeUnsupported     = "UnsupportedFeatureException"

	reasonMissing = "MISSING"
)

// do carries a command out and gives its result as what it is.
func do[T any](ctx context.Context, e Engine, c engine.Command) (T, error) {
	var none T
	value, err := e.Do(ctx, c)
	if err != nil {
		return none, wireError(err)
	}
	result, ok := value.(T)
	if !ok {
		return none, wireError(fmt.Errorf("%T gave a %T", c, value))
	}
	return result, nil
}

// wireError puts the engine's errors into the wire's form. What is no refusal
// is a fault of the engine's.
func wireError(err error) error {
	var refusal *engine.Error
	switch {
	case errors.As(err, &refusal) && refusal.Code != codeServer:
		return &awsapi.Error{Code: refusal.Code, Message: refusal.Message, Resources: refusal.Resources}
	case refusal != nil:
		return &awsapi.Error{Code: codeServer, Message: refusal.Message, Status: http.StatusInternalServerError}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return &awsapi.Error{Code: codeServer, Message: err.Error(), Status: http.StatusInternalServerError}
}

// withCluster reads the state if there is such a cluster.
func (a *api) withCluster(ref *string, f func(engine.View, *engine.Cluster) error) error {
	var err error
	a.engine.Read(func(v engine.View) {
		c, ok := v.Cluster(value(ref))
		if !ok {
			err = awsapi.Refuse(codeClusterNotFound, "Cluster not found.")
			return
		}
		err = f(v, c)
	})
	return err
}

// refuseBeyond refuses an input that says more than is known here.
func (a *api) refuseBeyond(code string, in any, known map[string]bool) error {
	if beyond := a.codec.Beyond(in, known); len(beyond) > 0 {
		return awsapi.Refuse(code, "%s is not supported by this engine with the %s runtime.", beyond[0], a.able.Runtime)
	}
	return nil
}

// set makes a set of paths.
func set(paths ...string) map[string]bool {
	s := make(map[string]bool, len(paths))
	for _, path := range paths {
		s[path] = true
	}
	return s
}

// count refuses a list of names that is empty or too long for one call.
func count(what string, names []string, most int) error {
	if len(names) == 0 {
		return awsapi.Refuse(codeInvalid, "%s cannot be empty.", what)
	}
	if len(names) > most {
		return awsapi.Refuse(codeInvalid, "%s cannot have more than %d items, got %d.", what, most, len(names))
	}
	return nil
}

// page gives one page of a listing.
func page[T any](items []T, key func(T) string, p awsapi.Paging, maxResults *int32, usual int, token *string) ([]T, *string, error) {
	if err := asked(&p, maxResults, usual, token); err != nil {
		return nil, nil, err
	}
	got, next, err := awsapi.Page(items, key, p)
	return paged(got, next, err, p)
}

// pageFrom is page for a list of which only the page is looked at.
func pageFrom[T any](from func(after string) (iter.Seq[T], error), key func(T) string, p awsapi.Paging, maxResults *int32, usual int, token *string) ([]T, *string, error) {
	if err := asked(&p, maxResults, usual, token); err != nil {
		return nil, nil, err
	}
	got, next, err := awsapi.PageFrom(from, key, p)
	return paged(got, next, err, p)
}

// asked puts what the client asks into the paging.
func asked(p *awsapi.Paging, maxResults *int32, usual int, token *string) error {
	p.Max, p.Token = usual, value(token)
	if maxResults != nil {
		p.Max = int(*maxResults)
	}
	if p.Max < 1 || p.Max > 100 {
		return awsapi.Refuse(codeInvalid, "maxResults %d is invalid: 1 to 100 is allowed.", p.Max)
	}
	return nil
}

func paged[T any](got []T, next string, err error, p awsapi.Paging) ([]T, *string, error) {
	if err != nil {
		return nil, nil, awsapi.Refuse(codeInvalid, "Invalid token %q: it is not one that this listing gave with these filters.", p.Token)
	}
	return got, optional(next), nil
}

// value is what a pointer points at, the zero value if it is nil.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// optional is a pointer to a text, nil if it is empty.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func of[T any](v T) *T { return &v }

// failures are the engine's as the wire has them; never nil.
func failures(list []engine.Failure) []types.Failure {
	out := make([]types.Failure, 0, len(list))
	for _, f := range list {
		out = append(out, types.Failure{Arn: optional(f.ARN), Reason: optional(f.Reason), Detail: optional(f.Detail)})
	}
	return out
}

func missing(arn string) types.Failure {
	return types.Failure{Arn: &arn, Reason: of(reasonMissing)}
}

// arnOf is the ARN that a name stands for; an ARN stands for itself.
func arnOf(v engine.View, kind, parent, name string) string {
	if len(name) > 4 && name[:4] == "arn:" {
		return name
	}
	if parent != "" {
		name = parent + "/" + name
	}
	return "arn:aws:ecs:" + v.Region() + ":" + v.Account() + ":" + kind + "/" + name
}

// tagsIn checks and reads tags.
func tagsIn(tags []types.Tag) (map[string]string, error) {
	if len(tags) > 50 {
		return nil, awsapi.Refuse(codeInvalid, "Tags can not be more than 50, got %d.", len(tags))
	}
	var m map[string]string
	for _, t := range tags {
		key, text := value(t.Key), value(t.Value)
		if strings.HasPrefix(strings.ToLower(key), "aws:") {
			return nil, awsapi.Refuse(codeInvalid, "The tag key %q is invalid: keys that begin with aws: are AWS's own.", key)
		}
		if key == "" || len([]rune(key)) > 128 || len([]rune(text)) > 256 {
			return nil, awsapi.Refuse(codeInvalid, "The tag %q with the value %q is invalid: "+
				"a key has 1 to 128 characters, a value 0 to 256.", key, text)
		}
		if _, twice := m[key]; twice {
			return nil, awsapi.Refuse(codeInvalid, "The tag key %q is given twice.", key)
		}
		if m == nil {
			m = map[string]string{}
		}
		m[key] = text
	}
	return m, nil
}

// tagsOut is tags in the order of their keys; never nil.
func tagsOut(tags map[string]string) []types.Tag {
	out := make([]types.Tag, 0, len(tags))
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, types.Tag{Key: of(key), Value: of(tags[key])})
	}
	return out
}
