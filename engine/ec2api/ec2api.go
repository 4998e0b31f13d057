// Package ec2api is what is around ECS, as far as ECS workflows touch it: EC2's
// instances (read from the container instances), zones, types and images, and
// networks, security groups and key pairs as records; CloudFormation's stacks in
// the thin form that ecs-cli uses to make and remove hosts; SSM's names of the
// ECS images; Auto Scaling's groups of hosts. It must not know how requests are signed or encoded, nor decide
// anything about tasks.
package ec2api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/engine/awsapi"
	"plimsoll/engine/store"
)

// Engine reads the cluster: engine/daemon's Daemon.
type Engine interface {
	Read(f func(engine.View))
}

// Hosts makes and removes the logical hosts of a cluster.
type Hosts interface {
	// SetHosts makes the hosts of a group be these many. A host with tasks
	// leaves with the last of them. The error may be an *engine.Error.
	SetHosts(ctx context.Context, cluster, group string, count int, each plimsoll.Resources) error
}

// Commands changes the cluster: engine/daemon's Daemon, or one under a quota.
type Commands interface {
	Do(ctx context.Context, c engine.Command) (any, error)
}

// Options are what the services are made with. Engine, Commands, Hosts and Log are
// required.
type Options struct {
	Engine   Engine
	Commands Commands
	Hosts    Hosts
	// Log keeps the records.
	Log             *store.Log
	Account, Region string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Random is where ids come from; nil is crypto/rand.
	Random io.Reader
}

// api is what the operations share.
type api struct {
	o         Options
	resources *store.Table[resource]
	stacks    *store.Table[stack]
	launches  *store.Table[launchConfiguration]
	network   sync.Once // the account's default network, made when it is first asked for
	netErr    error
	// scalingCodec is Auto Scaling's.
	scalingCodec *awsapi.Codec
	changing     sync.Mutex // one stack changes at a time
	resumed      bool       // what an earlier engine had not finished is done
}

// New makes EC2, CloudFormation, SSM and Auto Scaling over one account's records in a region.
func New(o Options) ([]*awsapi.Service, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	a := &api{o: o}
	var err error
	if a.resources, err = store.NewTable[resource](o.Log, "ec2/"); err != nil {
		return nil, err
	}
	if a.stacks, err = store.NewTable[stack](o.Log, "stack/"); err != nil {
		return nil, err
	}
	if a.launches, err = store.NewTable[launchConfiguration](o.Log, "launch/"); err != nil {
		return nil, err
	}
	return []*awsapi.Service{a.ec2(), a.cloudFormation(), a.ssm(), a.autoScaling()}, nil
}

func (a *api) ec2() *awsapi.Service {
	return &awsapi.Service{
		Name: "ec2", Version: "2016-11-15", Namespace: "http://ec2.amazonaws.com/doc/2016-11-15/", Codec: awsapi.NewEC2Codec(),
		Operations: []awsapi.Operation{
			op("DescribeInstances", a.describeInstances),
			op("TerminateInstances", a.terminateInstances),
			op("DescribeAvailabilityZones", a.describeZones),
			op("DescribeRegions", a.describeRegions),
			op("DescribeInstanceTypes", a.describeTypes),
			op("DescribeInstanceTypeOfferings", a.describeOfferings),
			op("DescribeImages", a.describeImages),
			op("DescribeNetworkInterfaces", a.describeInterfaces),
			op("CreateVpc", a.createVPC),
			op("DescribeVpcs", a.describeVPCs),
			op("DeleteVpc", a.deleteVPC),
			op("CreateSubnet", a.createSubnet),
			op("DescribeSubnets", a.describeSubnets),
			op("DeleteSubnet", a.deleteSubnet),
			op("CreateSecurityGroup", a.createGroup),
			op("DescribeSecurityGroups", a.describeGroups),
			op("DeleteSecurityGroup", a.deleteGroup),
			op("AuthorizeSecurityGroupIngress", a.authorizeIngress),
			op("RevokeSecurityGroupIngress", a.revokeIngress),
			op("CreateKeyPair", a.createKeyPair),
			op("DescribeKeyPairs", a.describeKeyPairs),
			op("DeleteKeyPair", a.deleteKeyPair),
			op("CreateTags", a.createTags),
			op("DeleteTags", a.deleteTags),
			op("DescribeTags", a.describeTags),
		},
	}
}

// op is a row of EC2's table. A dry run ends where the operation would begin.
func op[In, Out any](name string, f func(context.Context, *awsapi.Call, *In) (*Out, error)) awsapi.Operation {
	return awsapi.Op(name, func(ctx context.Context, call *awsapi.Call, in *In) (*Out, error) {
		if dry, ok := reflect.ValueOf(in).Elem().FieldByName("DryRun").Interface().(bool); ok && dry {
			return nil, &awsapi.Error{
				Code: "DryRunOperation", Message: "Request would have succeeded, but DryRun flag is set.", Status: 412,
			}
		}
		out, err := f(ctx, call, in)
		return out, wireError(err)
	})
}

// wireError puts the engine's refusals into the wire's form.
func wireError(err error) error {
	var refusal *engine.Error
	if errors.As(err, &refusal) {
		return &awsapi.Error{Code: refusal.Code, Message: refusal.Message}
	}
	return err
}

// newID gives an id in EC2's form: "vpc-0123456789abcdef0".
func (a *api) newID(kind string) (string, error) {
	var raw [9]byte
	if _, err := io.ReadFull(a.o.Random, raw[:]); err != nil {
		return "", fmt.Errorf("random bytes for the id of a %s: %w", kind, err)
	}
	return kind + "-" + hex.EncodeToString(raw[:])[:17], nil
}

// filter is what a listing asks for: one of the values, for each name.
type filter struct {
	Name   *string
	Values []string `query:"Value"`
}

// facts are what an item can be filtered by.
type facts map[string][]string

// passes tells whether an item passes all filters. A name that the item's kind
// does not have is refused.
func passes(filters []filter, f facts) (bool, error) {
	for _, one := range filters {
		name := value(one.Name)
		got, known := f[name]
		if !known && !strings.HasPrefix(name, "tag:") {
			return false, awsapi.Refuse("InvalidParameterValue", "The filter '%s' is invalid", name)
		}
		if !slices.ContainsFunc(one.Values, func(pattern string) bool {
			return slices.ContainsFunc(got, func(text string) bool { return wild(pattern, text) })
		}) {
			return false, nil
		}
	}
	return true, nil
}

// wild compares a text with a pattern in which * is any text and ? any character.
func wild(pattern, text string) bool {
	star, mark := -1, 0
	p, t := 0, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p, t = p+1, t+1
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// addTags puts an item's tags among its facts.
func (f facts) addTags(tags map[string]string) facts {
	f["tag-key"], f["tag-value"] = []string{}, []string{}
	for key, text := range tags {
		f["tag:"+key] = []string{text}
		f["tag-key"] = append(f["tag-key"], key)
		f["tag-value"] = append(f["tag-value"], text)
	}
	return f
}

// listing is what the inputs of most listings have in common.
type listing struct {
	name    string
	ids     []string
	missing string // the error of an id that there is not
	filters []filter
	max     *int32
	token   *string
}

// choose gives one page of the items that are asked for, in the order of their
// ids, and the token of the next page.
func choose[T any](items []T, id func(T) string, of func(T) facts, l listing) ([]T, *string, error) {
	for _, wanted := range l.ids {
		if !slices.ContainsFunc(items, func(item T) bool { return id(item) == wanted }) {
			return nil, nil, awsapi.Refuse(l.missing, "The ID '%s' does not exist", wanted)
		}
	}
	var chosen []T
	for _, item := range items {
		if len(l.ids) > 0 && !slices.Contains(l.ids, id(item)) {
			continue
		}
		ok, err := passes(l.filters, of(item))
		if err != nil {
			return nil, nil, err
		}
		if ok {
			chosen = append(chosen, item)
		}
	}
	if len(items) == 0 {
		if _, err := passes(l.filters, of(*new(T))); err != nil {
			return nil, nil, err
		}
	}
	p := awsapi.Paging{List: fmt.Sprint(l.name, l.ids, len(l.filters)), Max: 1000, Token: value(l.token)}
	if l.max != nil {
		p.Max = int(*l.max)
		if p.Max < 5 || p.Max > 1000 {
			return nil, nil, awsapi.Refuse("InvalidParameterValue", "Value ( %d ) for parameter maxResults is invalid. Expecting a value between 5 and 1000.", p.Max)
		}
	}
	slices.SortFunc(chosen, func(x, y T) int { return strings.Compare(id(x), id(y)) })
	page, next, err := awsapi.Page(chosen, id, p)
	if err != nil {
		return nil, nil, awsapi.Refuse("InvalidParameterValue", "Invalid value '%s' for nextToken", p.Token)
	}
	return page, optional(next), nil
}

// value is what a pointer points at, the zero value if it is nil.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

func of[T any](v T) *T { return &v }

// optional is a pointer to a text, nil if it is empty.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
