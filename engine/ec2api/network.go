package ec2api

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"plimsoll/engine/awsapi"
)

// The kinds of resources that are kept, by the beginnings of their ids.
const (
	kindVPC    = "vpc"
	kindSubnet = "subnet"
	kindGroup  = "sg"
	kindKey    = "key"
	kindHost   = "i" // the tags of an instance
)

const defaultName = "default"

// resource is a record: what EC2 would have made. Nothing is routed or guarded
// by it here.
type resource struct {
	ID          string            `json:"id"`
	Name        string            `json:"name,omitempty"` // of a group or a key pair
	VPC         string            `json:"vpc,omitempty"`
	CIDR        string            `json:"cidr,omitempty"`
	Zone        string            `json:"zone,omitempty"`
	Description string            `json:"description,omitempty"`
	Default     bool              `json:"default,omitempty"`
	Ingress     []permission      `json:"ingress,omitempty"`
	Fingerprint string            `json:"fingerprint,omitempty"`
	Type        string            `json:"type,omitempty"` // of a key pair
	Tags        map[string]string `json:"tags,omitempty"`
	Created     time.Time         `json:"created"`
}

func (r resource) id() string { return r.ID }

func (r resource) kind() string {
	kind, _, _ := strings.Cut(r.ID, "-")
	return kind
}

// ofKind are the records of a kind, in the order of their ids.
func (a *api) ofKind(kind string) []resource {
	return slices.DeleteFunc(a.resources.All(), func(r resource) bool { return r.kind() != kind })
}

// find gives the record of an id, which has to be of the kind.
func (a *api) find(kind, id, missing string) (resource, error) {
	r, ok := a.resources.Get(id)
	if !ok || r.kind() != kind {
		return r, awsapi.Refuse(missing, "The ID '%s' does not exist", id)
	}
	return r, nil
}

// network is where an instance is.
type network struct{ vpc, subnet, group string }

// defaultID is the id of a part of the account's default network: the same at
// every start.
func (a *api) defaultID(kind, name string) string {
	sum := sha256.Sum256([]byte(a.o.Account + " " + a.o.Region + " " + kind + " " + name))
	return kind + "-" + hex.EncodeToString(sum[:])[:17]
}

func (a *api) networkOf(zone string) network {
	return network{vpc: a.defaultID(kindVPC, ""), subnet: a.defaultID(kindSubnet, zone), group: a.defaultID(kindGroup, "")}
}

// ensureNetwork makes, once, what every account has in every region: a VPC with
// a subnet in each zone and a security group.
func (a *api) ensureNetwork() error {
	a.network.Do(func() { a.netErr = a.makeNetwork() })
	return a.netErr
}

func (a *api) makeNetwork() error {
	if _, made := a.resources.Get("default-network"); made {
		return nil
	}
	vpc := a.defaultID(kindVPC, "")
	records := []resource{
		{ID: vpc, CIDR: "172.31.0.0/16", Default: true},
		{ID: a.defaultID(kindGroup, ""), Name: defaultName, VPC: vpc, Description: "default VPC security group", Default: true},
	}
	for i, zone := range a.zones() {
		records = append(records, resource{
			ID: a.defaultID(kindSubnet, zone), VPC: vpc, CIDR: fmt.Sprintf("172.31.%d.0/20", i*16), Zone: zone, Default: true,
		})
	}
	// The mark goes last: a start that was cut off makes the same again.
	for _, r := range append(records, resource{ID: "default-network"}) {
		r.Created = a.o.Now().UTC()
		if err := a.resources.Put(r.ID, r); err != nil {
			return err
		}
	}
	return nil
}

// tagSpecification gives tags to what is being made.
type tagSpecification struct {
	ResourceType *string
	Tags         []tag `query:"Tag"`
}

// tagsOf are the tags for one resource type. Tags for another are refused.
func tagsOf(specifications []tagSpecification, resourceType string) (map[string]string, error) {
	tags := map[string]string{}
	for _, s := range specifications {
		if value(s.ResourceType) != resourceType {
			return nil, awsapi.Refuse("InvalidParameterValue", "'%s' is not a valid taggable resource type for this operation: %s is.", value(s.ResourceType), resourceType)
		}
		for _, t := range s.Tags {
			tags[value(t.Key)] = value(t.Value)
		}
	}
	return tags, checkTags(tags)
}

func checkTags(tags map[string]string) error {
	for key, text := range tags {
		if key == "" || len([]rune(key)) > 127 || len([]rune(text)) > 255 {
			return awsapi.Refuse("InvalidParameterValue", "The tag %q is invalid: a key has 1 to 127 characters, a value 0 to 255.", key)
		}
	}
	if len(tags) > 50 {
		return awsapi.Refuse("TagLimitExceeded", "A resource can have 50 tags, not %d.", len(tags))
	}
	return nil
}

func tagList(tags map[string]string) []tag {
	list := []tag{}
	for key, text := range tags {
		list = append(list, tag{Key: of(key), Value: of(text)})
	}
	slices.SortFunc(list, func(x, y tag) int { return cmp.Compare(*x.Key, *y.Key) })
	return list
}

func merged(a, b map[string]string) map[string]string {
	all := map[string]string{}
	for _, m := range []map[string]string{a, b} {
		for key, text := range m {
			all[key] = text
		}
	}
	return all
}

// add makes a record with an id of its own.
func (a *api) add(kind string, r resource) (resource, error) {
	var err error
	if r.ID, err = a.newID(kind); err != nil {
		return r, err
	}
	r.Created = a.o.Now().UTC()
	return r, a.resources.Put(r.ID, r)
}

// block reads an address block, which EC2 wants between two sizes.
func block(text string, largest, smallest int) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil || !p.Addr().Is4() {
		return p, awsapi.Refuse("InvalidParameterValue", "Value (%s) for parameter cidrBlock is invalid. This is not a valid CIDR block.", text)
	}
	if p.Bits() < largest || p.Bits() > smallest {
		return p, awsapi.Refuse("InvalidVpc.Range", "The CIDR '%s' is invalid: /%d to /%d are allowed.", text, largest, smallest)
	}
	return p.Masked(), nil
}

type vpcInfo struct {
	VpcId, State, CidrBlock, DhcpOptionsId, InstanceTenancy, OwnerId *string
	IsDefault                                                        *bool
	Tags                                                             []tag `xml:"tagSet"`
}

type createVPCInput struct {
	CidrBlock         *string
	InstanceTenancy   *string
	TagSpecifications []tagSpecification `query:"TagSpecification"`
	DryRun            bool
}

type createVPCOutput struct{ Vpc *vpcInfo }

type describeVPCsInput struct {
	VpcIds     []string `query:"VpcId"`
	Filters    []filter `query:"Filter"`
	MaxResults *int32
	NextToken  *string
	DryRun     bool
}

type describeVPCsOutput struct {
	Vpcs      []vpcInfo `xml:"vpcSet"`
	NextToken *string
}

// done is the answer of operations that have nothing to tell.
type done struct{ Return *bool }

var yes = &done{Return: of(true)}

func vpcOut(call *awsapi.Call, r resource) vpcInfo {
	return vpcInfo{
		VpcId: &r.ID, State: of("available"), CidrBlock: &r.CIDR, DhcpOptionsId: of("dopt-default"), InstanceTenancy: of(defaultName),
		OwnerId: &call.Account, IsDefault: &r.Default, Tags: tagList(r.Tags),
	}
}

func (a *api) createVPC(_ context.Context, call *awsapi.Call, in *createVPCInput) (*createVPCOutput, error) {
	p, err := block(value(in.CidrBlock), 16, 28)
	if err != nil {
		return nil, err
	}
	tags, err := tagsOf(in.TagSpecifications, "vpc")
	if err != nil {
		return nil, err
	}
	r, err := a.add(kindVPC, resource{CIDR: p.String(), Tags: tags})
	if err != nil {
		return nil, err
	}
	// Every VPC has a security group of its own.
	if _, err = a.add(kindGroup, resource{Name: defaultName, VPC: r.ID, Description: "default VPC security group", Default: true}); err != nil {
		return nil, err
	}
	return &createVPCOutput{Vpc: of(vpcOut(call, r))}, nil
}

func (a *api) describeVPCs(_ context.Context, call *awsapi.Call, in *describeVPCsInput) (*describeVPCsOutput, error) {
	if err := a.ensureNetwork(); err != nil {
		return nil, err
	}
	vpcFacts := func(r resource) facts {
		return facts{
			"vpc-id": {r.ID}, "cidr": {r.CIDR}, "cidr-block": {r.CIDR}, "state": {"available"}, "is-default": {fmt.Sprint(r.Default)},
			"isDefault": {fmt.Sprint(r.Default)}, "owner-id": {call.Account},
		}.addTags(r.Tags)
	}
	page, next, err := choose(a.ofKind(kindVPC), resource.id, vpcFacts, listing{
		name: "DescribeVpcs", ids: in.VpcIds, missing: "InvalidVpcID.NotFound", filters: in.Filters, max: in.MaxResults, token: in.NextToken,
	})
	if err != nil {
		return nil, err
	}
	out := &describeVPCsOutput{Vpcs: []vpcInfo{}, NextToken: next}
	for _, r := range page {
		out.Vpcs = append(out.Vpcs, vpcOut(call, r))
	}
	return out, nil
}

type deleteVPCInput struct {
	VpcId  *string
	DryRun bool
}

func (a *api) deleteVPC(_ context.Context, _ *awsapi.Call, in *deleteVPCInput) (*done, error) {
	r, err := a.find(kindVPC, value(in.VpcId), "InvalidVpcID.NotFound")
	if err != nil {
		return nil, err
	}
	var own []string
	for _, other := range a.resources.All() {
		switch {
		case other.VPC != r.ID:
		case other.kind() == kindGroup && other.Default:
			own = append(own, other.ID)
		default:
			return nil, awsapi.Refuse("DependencyViolation", "The vpc '%s' has dependencies and cannot be deleted: %s", r.ID, other.ID)
		}
	}
	for _, id := range append(own, r.ID) {
		if err := a.resources.Delete(id); err != nil {
			return nil, err
		}
	}
	return yes, nil
}

type subnetInfo struct {
	SubnetId, SubnetArn, State, VpcId, CidrBlock, AvailabilityZone, AvailabilityZoneId, OwnerId *string
	AvailableIpAddressCount                                                                     *int32
	DefaultForAz, MapPublicIpOnLaunch                                                           *bool
	Tags                                                                                        []tag `xml:"tagSet"`
}

type createSubnetInput struct {
	VpcId, CidrBlock, AvailabilityZone, AvailabilityZoneId *string
	TagSpecifications                                      []tagSpecification `query:"TagSpecification"`
	DryRun                                                 bool
}

type createSubnetOutput struct{ Subnet *subnetInfo }

type describeSubnetsInput struct {
	SubnetIds  []string `query:"SubnetId"`
	Filters    []filter `query:"Filter"`
	MaxResults *int32
	NextToken  *string
	DryRun     bool
}

type describeSubnetsOutput struct {
	Subnets   []subnetInfo `xml:"subnetSet"`
	NextToken *string
}

func subnetOut(call *awsapi.Call, r resource) subnetInfo {
	free := int32(0)
	if p, err := netip.ParsePrefix(r.CIDR); err == nil {
		free = int32(1)<<(32-p.Bits()) - 5 // EC2 keeps five addresses of each
	}
	return subnetInfo{
		SubnetId: &r.ID, SubnetArn: of("arn:aws:ec2:" + call.Region + ":" + call.Account + ":subnet/" + r.ID), State: of("available"),
		VpcId: &r.VPC, CidrBlock: &r.CIDR, AvailabilityZone: &r.Zone, AvailabilityZoneId: of(zoneID(r.Zone)), OwnerId: &call.Account,
		AvailableIpAddressCount: &free, DefaultForAz: &r.Default, MapPublicIpOnLaunch: &r.Default, Tags: tagList(r.Tags),
	}
}

func (a *api) createSubnet(_ context.Context, call *awsapi.Call, in *createSubnetInput) (*createSubnetOutput, error) {
	if err := a.ensureNetwork(); err != nil {
		return nil, err
	}
	tags, err := tagsOf(in.TagSpecifications, "subnet")
	if err != nil {
		return nil, err
	}
	zone := value(in.AvailabilityZone)
	for _, name := range a.zones() {
		if zone == "" && (value(in.AvailabilityZoneId) == "" || zoneID(name) == value(in.AvailabilityZoneId)) {
			zone = name
		}
	}
	if !slices.Contains(a.zones(), zone) {
		return nil, awsapi.Refuse("InvalidParameterValue", "Value (%s) for parameter availabilityZone is invalid. Subnets can currently only be created in the following availability zones: %s.",
			cmp.Or(zone, value(in.AvailabilityZoneId)), strings.Join(a.zones(), ", "))
	}
	r, err := a.newSubnet(value(in.VpcId), value(in.CidrBlock), zone, tags)
	if err != nil {
		return nil, err
	}
	return &createSubnetOutput{Subnet: of(subnetOut(call, r))}, nil
}

// newSubnet makes a subnet whose block lies in its VPC's and overlaps no other.
func (a *api) newSubnet(vpcID, cidr, zone string, tags map[string]string) (resource, error) {
	vpc, err := a.find(kindVPC, vpcID, "InvalidVpcID.NotFound")
	if err != nil {
		return resource{}, err
	}
	p, err := block(cidr, 16, 28)
	if err != nil {
		return resource{}, err
	}
	if outer := netip.MustParsePrefix(vpc.CIDR); p.Bits() < outer.Bits() || !outer.Contains(p.Addr()) {
		return resource{}, awsapi.Refuse("InvalidSubnet.Range", "The CIDR '%s' is invalid: it is not in %s.", p, outer)
	}
	for _, other := range a.ofKind(kindSubnet) {
		if other.VPC == vpc.ID && netip.MustParsePrefix(other.CIDR).Overlaps(p) {
			return resource{}, awsapi.Refuse("InvalidSubnet.Conflict", "The CIDR '%s' conflicts with another subnet", p)
		}
	}
	return a.add(kindSubnet, resource{VPC: vpc.ID, CIDR: p.String(), Zone: zone, Tags: tags})
}

func (a *api) describeSubnets(_ context.Context, call *awsapi.Call, in *describeSubnetsInput) (*describeSubnetsOutput, error) {
	if err := a.ensureNetwork(); err != nil {
		return nil, err
	}
	subnetFacts := func(r resource) facts {
		return facts{
			"subnet-id": {r.ID}, "vpc-id": {r.VPC}, "cidr": {r.CIDR}, "cidr-block": {r.CIDR}, "availability-zone": {r.Zone}, "availabilityZone": {r.Zone},
			"availability-zone-id": {zoneID(r.Zone)}, "state": {"available"}, "default-for-az": {fmt.Sprint(r.Default)}, "owner-id": {call.Account},
			"map-public-ip-on-launch": {fmt.Sprint(r.Default)},
		}.addTags(r.Tags)
	}
	page, next, err := choose(a.ofKind(kindSubnet), resource.id, subnetFacts, listing{
		name: "DescribeSubnets", ids: in.SubnetIds, missing: "InvalidSubnetID.NotFound", filters: in.Filters, max: in.MaxResults, token: in.NextToken,
	})
	if err != nil {
		return nil, err
	}
	out := &describeSubnetsOutput{Subnets: []subnetInfo{}, NextToken: next}
	for _, r := range page {
		out.Subnets = append(out.Subnets, subnetOut(call, r))
	}
	return out, nil
}

type deleteSubnetInput struct {
	SubnetId *string
	DryRun   bool
}

func (a *api) deleteSubnet(_ context.Context, _ *awsapi.Call, in *deleteSubnetInput) (*done, error) {
	r, err := a.find(kindSubnet, value(in.SubnetId), "InvalidSubnetID.NotFound")
	if err != nil {
		return nil, err
	}
	return yes, a.resources.Delete(r.ID)
}
