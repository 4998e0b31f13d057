package ec2api

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"plimsoll/engine"
	"plimsoll/engine/awsapi"
)

type tag struct{ Key, Value *string }

type groupIdentifier struct{ GroupId, GroupName *string }

type instanceState struct {
	Code *int32
	Name *string
}

type placement struct{ AvailabilityZone, Tenancy *string }

type monitoring struct{ State *string }

// ec2Instance is a container instance as EC2 describes it.
type ec2Instance struct {
	InstanceId, ImageId, InstanceType *string
	State                             *instanceState `xml:"instanceState"`
	PrivateDnsName                    *string
	PublicDnsName                     *string `xml:"dnsName"`
	AmiLaunchIndex                    *int32
	LaunchTime                        *time.Time
	Placement                         *placement
	Monitoring                        *monitoring
	SubnetId, VpcId, PrivateIpAddress *string
	PublicIpAddress                   *string `xml:"ipAddress"`
	Architecture, RootDeviceType      *string
	VirtualizationType, Hypervisor    *string
	SecurityGroups                    []groupIdentifier `xml:"groupSet"`
	Tags                              []tag             `xml:"tagSet"`
}

type reservation struct {
	ReservationId, OwnerId *string
	Groups                 []groupIdentifier `xml:"groupSet"`
	Instances              []ec2Instance     `xml:"instancesSet"`
}

type describeInstancesInput struct {
	InstanceIds []string `query:"InstanceId"`
	Filters     []filter `query:"Filter"`
	MaxResults  *int32
	NextToken   *string
	DryRun      bool

	IncludeManagedResources bool
}

type describeInstancesOutput struct {
	Reservations []reservation `xml:"reservationSet"`
	NextToken    *string
}

// host is a container instance with what EC2 alone knows of it.
type host struct {
	*engine.ContainerInstance
	instanceType string
	tags         map[string]string
	network      network
	pending      bool // it is being launched
}

func (h host) id() string {
	if h.ContainerInstance == nil {
		return ""
	}
	return h.EC2InstanceID
}

func (h host) facts() facts {
	i := h.ContainerInstance
	if i == nil {
		i = &engine.ContainerInstance{}
	}
	return facts{
		"instance-id": {i.EC2InstanceID}, "instance-state-name": {*h.state().Name}, "instance-state-code": {strconv.Itoa(int(*h.state().Code))},
		"instance-type": {h.instanceType}, "availability-zone": {i.Zone}, "private-ip-address": {i.Address},
		"ip-address": {i.Address}, "image-id": {imageOf(i)}, "vpc-id": {h.network.vpc}, "subnet-id": {h.network.subnet},
		"instance.group-id": {h.network.group}, "instance.group-name": {defaultName}, "architecture": {architecture},
		"private-dns-name": {privateName(i.Address)}, "launch-time": {i.RegisteredAt.UTC().Format("2006-01-02T15:04:05.000Z")},
	}.addTags(h.tags)
}

// hosts are the container instances of all clusters.
func (a *api) hosts() ([]host, error) {
	if err := a.ensureNetwork(); err != nil {
		return nil, err
	}
	var list []host
	a.o.Engine.Read(func(v engine.View) {
		for _, c := range v.Clusters() {
			for _, i := range v.Instances(c.Name) {
				if i.EC2InstanceID == "" {
					continue
				}
				kept, _ := a.resources.Get(i.EC2InstanceID)
				if group, grouped := i.Attributes[engine.AttributeGroup]; grouped {
					kept.Tags = merged(kept.Tags, map[string]string{"aws:autoscaling:groupName": group})
				}
				list = append(list, host{
					ContainerInstance: i, instanceType: typeOf(i), tags: merged(i.Tags, kept.Tags), network: a.networkOf(i.Zone),
				})
			}
		}
	})
	return append(list, a.launching()...), nil
}

func (h host) state() *instanceState {
	if h.pending {
		return &instanceState{Code: of(int32(0)), Name: of("pending")}
	}
	return &instanceState{Code: of(int32(16)), Name: of("running")}
}

// typeOf is the instance type that a host has, or the one that it is most like.
func typeOf(i *engine.ContainerInstance) string {
	if name := i.Attributes["ecs.instance-type"]; name != "" {
		return name
	}
	best, distance := "", int64(-1)
	for _, t := range instanceTypes {
		d := abs(t.cpus*1024-i.Registered.CPU) + abs(t.memory-i.Registered.Memory)
		if distance < 0 || d < distance {
			best, distance = t.name, d
		}
	}
	return best
}

func abs(n int64) int64 { return max(n, -n) }

func privateName(address string) string {
	return "ip-" + strings.ReplaceAll(address, ".", "-") + ".ec2.internal"
}

func (a *api) describeInstances(_ context.Context, call *awsapi.Call, in *describeInstancesInput) (*describeInstancesOutput, error) {
	list, err := a.hosts()
	if err != nil {
		return nil, err
	}
	page, next, err := choose(list, host.id, host.facts, listing{
		name: "DescribeInstances", ids: in.InstanceIds, missing: "InvalidInstanceID.NotFound",
		filters: in.Filters, max: in.MaxResults, token: in.NextToken,
	})
	if err != nil {
		return nil, err
	}
	out := &describeInstancesOutput{Reservations: []reservation{}, NextToken: next}
	for _, h := range page {
		group := groupIdentifier{GroupId: of(h.network.group), GroupName: of(defaultName)}
		out.Reservations = append(out.Reservations, reservation{
			ReservationId: of("r-" + h.EC2InstanceID[2:]), OwnerId: &call.Account, Groups: []groupIdentifier{},
			Instances: []ec2Instance{{
				InstanceId: &h.EC2InstanceID, ImageId: of(imageOf(h.ContainerInstance)), InstanceType: &h.instanceType,
				State:          h.state(),
				PrivateDnsName: of(privateName(h.Address)), PublicDnsName: optional(h.Address), AmiLaunchIndex: of(int32(0)),
				LaunchTime: &h.RegisteredAt, Placement: &placement{AvailabilityZone: &h.Zone, Tenancy: of(defaultName)},
				Monitoring: &monitoring{State: of("disabled")}, SubnetId: of(h.network.subnet), VpcId: of(h.network.vpc),
				PrivateIpAddress: optional(h.Address), PublicIpAddress: optional(h.Address), Architecture: of(architecture),
				RootDeviceType: of("ebs"), VirtualizationType: of("hvm"), Hypervisor: of("xen"),
				SecurityGroups: []groupIdentifier{group}, Tags: tagList(h.tags),
			}},
		})
	}
	return out, nil
}

type networkInterface struct {
	NetworkInterfaceId, Status, SubnetId, VpcId, AvailabilityZone *string
	PrivateIpAddress, PrivateDnsName, OwnerId, Description        *string
	InterfaceType                                                 *string
	SourceDestCheck                                               *bool
	Attachment                                                    *interfaceAttachment
	Groups                                                        []groupIdentifier `xml:"groupSet"`
	TagSet                                                        []tag
}

type interfaceAttachment struct {
	AttachmentId, InstanceId, InstanceOwnerId, Status *string
	DeviceIndex                                       *int32
	AttachTime                                        *time.Time
}

type describeInterfacesInput struct {
	NetworkInterfaceIds     []string `query:"NetworkInterfaceId"`
	Filters                 []filter `query:"Filter"`
	MaxResults              *int32
	NextToken               *string
	DryRun                  bool
	IncludeManagedResources bool
}

type describeInterfacesOutput struct {
	NetworkInterfaces []networkInterface `xml:"networkInterfaceSet"`
	NextToken         *string
}

// interfaceID is that of a host's one network interface.
func interfaceID(h host) string {
	if h.ContainerInstance == nil {
		return ""
	}
	return "eni-" + strings.TrimPrefix(h.EC2InstanceID, "i-")
}

func (a *api) describeInterfaces(_ context.Context, call *awsapi.Call, in *describeInterfacesInput) (*describeInterfacesOutput, error) {
	list, err := a.hosts()
	if err != nil {
		return nil, err
	}
	interfaceFacts := func(h host) facts {
		address, zone, id := "", "", ""
		if h.ContainerInstance != nil {
			address, zone, id = h.Address, h.Zone, h.EC2InstanceID
		}
		return facts{
			"network-interface-id": {interfaceID(h)}, "status": {"in-use"}, "vpc-id": {h.network.vpc}, "subnet-id": {h.network.subnet},
			"group-id": {h.network.group}, "availability-zone": {zone}, "private-ip-address": {address},
			"addresses.private-ip-address": {address}, "attachment.instance-id": {id}, "attachment.status": {"attached"},
		}.addTags(nil)
	}
	page, next, err := choose(list, interfaceID, interfaceFacts, listing{
		name: "DescribeNetworkInterfaces", ids: in.NetworkInterfaceIds, missing: "InvalidNetworkInterfaceID.NotFound",
		filters: in.Filters, max: in.MaxResults, token: in.NextToken,
	})
	if err != nil {
		return nil, err
	}
	out := &describeInterfacesOutput{NetworkInterfaces: []networkInterface{}, NextToken: next}
	for _, h := range page {
		out.NetworkInterfaces = append(out.NetworkInterfaces, networkInterface{
			NetworkInterfaceId: of(interfaceID(h)), Status: of("in-use"), SubnetId: of(h.network.subnet), VpcId: of(h.network.vpc),
			AvailabilityZone: &h.Zone, PrivateIpAddress: optional(h.Address), PrivateDnsName: of(privateName(h.Address)),
			OwnerId: &call.Account, Description: of(""), InterfaceType: of("interface"), SourceDestCheck: of(true),
			Attachment: &interfaceAttachment{
				AttachmentId: of("eni-attach-" + h.EC2InstanceID[2:]), InstanceId: &h.EC2InstanceID, InstanceOwnerId: &call.Account,
				Status: of("attached"), DeviceIndex: of(int32(0)), AttachTime: &h.RegisteredAt,
			},
			Groups: []groupIdentifier{{GroupId: of(h.network.group), GroupName: of(defaultName)}}, TagSet: []tag{},
		})
	}
	return out, nil
}

type zone struct {
	ZoneName, ZoneId, RegionName, GroupName, ZoneType, OptInStatus *string
	State                                                          *string `xml:"zoneState"`
	Messages                                                       []tag   `xml:"messageSet"`
}

type describeZonesInput struct {
	ZoneNames            []string `query:"ZoneName"`
	ZoneIds              []string `query:"ZoneId"`
	Filters              []filter `query:"Filter"`
	AllAvailabilityZones bool
	DryRun               bool
}

type describeZonesOutput struct {
	AvailabilityZones []zone `xml:"availabilityZoneInfo"`
}

// zones are the region's: a, b and c, and those that its hosts are in.
func (a *api) zones() []string {
	names := []string{a.o.Region + "a", a.o.Region + "b", a.o.Region + "c"}
	a.o.Engine.Read(func(v engine.View) {
		for _, c := range v.Clusters() {
			for _, i := range v.Instances(c.Name) {
				if i.Zone != "" {
					names = append(names, i.Zone)
				}
			}
		}
	})
	slices.Sort(names)
	return slices.Compact(names)
}

// zoneID is a zone's id, the same in every account: use1-az1 for us-east-1a.
func zoneID(name string) string {
	if len(name) < 2 {
		return ""
	}
	parts := strings.Split(name[:len(name)-1], "-")
	id := parts[0]
	for _, p := range parts[1:] {
		id += p[:1]
	}
	return fmt.Sprintf("%s-az%d", id, name[len(name)-1]-'a'+1)
}

func (a *api) describeZones(_ context.Context, _ *awsapi.Call, in *describeZonesInput) (*describeZonesOutput, error) {
	ids := in.ZoneNames
	names := a.zones()
	for _, id := range in.ZoneIds {
		at := slices.IndexFunc(names, func(name string) bool { return zoneID(name) == id })
		if at < 0 {
			return nil, awsapi.Refuse("InvalidParameterValue", "Invalid availability zone: [%s]", id)
		}
		ids = append(ids, names[at])
	}
	zoneFacts := func(name string) facts {
		return facts{
			"zone-name": {name}, "zone-id": {zoneID(name)}, "region-name": {a.o.Region}, "state": {"available"}, "zone-type": {"availability-zone"},
			"opt-in-status": {"opt-in-not-required"}, "group-name": {a.o.Region + "-zg-1"},
		}
	}
	chosen, _, err := choose(names, func(n string) string { return n }, zoneFacts, listing{
		name: "DescribeAvailabilityZones", ids: ids, missing: "InvalidParameterValue", filters: in.Filters,
	})
	if err != nil {
		return nil, err
	}
	out := &describeZonesOutput{AvailabilityZones: []zone{}}
	for _, name := range chosen {
		out.AvailabilityZones = append(out.AvailabilityZones, zone{
			ZoneName: of(name), ZoneId: of(zoneID(name)), RegionName: &a.o.Region, GroupName: of(a.o.Region + "-zg-1"),
			ZoneType: of("availability-zone"), OptInStatus: of("opt-in-not-required"), State: of("available"), Messages: []tag{},
		})
	}
	return out, nil
}

type regionInfo struct {
	RegionName, OptInStatus *string
	Endpoint                *string `xml:"regionEndpoint"`
}

type describeRegionsInput struct {
	RegionNames []string `query:"RegionName"`
	Filters     []filter `query:"Filter"`
	AllRegions  bool
	DryRun      bool
}

type describeRegionsOutput struct {
	Regions []regionInfo `xml:"regionInfo"`
}

// regions are those that AWS has enabled in every account. Any other region is
// served here too.
var regions = []string{
	"ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-southeast-1", "ap-southeast-2", "ca-central-1",
	"eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3", "sa-east-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2",
}

func (a *api) describeRegions(_ context.Context, call *awsapi.Call, in *describeRegionsInput) (*describeRegionsOutput, error) {
	all := slices.Clone(regions)
	if !slices.Contains(all, a.o.Region) {
		all = append(all, a.o.Region)
	}
	regionFacts := func(name string) facts {
		return facts{"region-name": {name}, "endpoint": {call.Endpoint}, "opt-in-status": {"opt-in-not-required"}}
	}
	chosen, _, err := choose(all, func(n string) string { return n }, regionFacts, listing{
		name: "DescribeRegions", ids: in.RegionNames, missing: "InvalidParameterValue", filters: in.Filters,
	})
	if err != nil {
		return nil, err
	}
	out := &describeRegionsOutput{Regions: []regionInfo{}}
	for _, name := range chosen {
		out.Regions = append(out.Regions, regionInfo{
			RegionName: of(name), OptInStatus: of("opt-in-not-required"), Endpoint: of("ec2." + name + ".amazonaws.com"),
		})
	}
	return out, nil
}
