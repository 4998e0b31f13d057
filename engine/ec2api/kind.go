package ec2api

import (
	"context"
	"encoding/json"
	"fmt"
	goruntime "runtime"
	"strings"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/engine/awsapi"
)

// instanceType is a kind of host: how many CPUs and how much memory it has.
type instanceType struct {
	name         string
	cpus, memory int64 // virtual CPUs, MiB
}

func (t instanceType) id() string { return t.name }

func (t instanceType) resources() plimsoll.Resources {
	return plimsoll.Resources{CPU: t.cpus * 1024, Memory: t.memory}
}

// instanceTypes are those that ECS workflows name most, smallest first.
var instanceTypes = []instanceType{
	{"t2.nano", 1, 512}, {"t2.micro", 1, 1024}, {"t3.nano", 2, 512}, {"t3.micro", 2, 1024}, {"t2.small", 1, 2048},
	{"t3.small", 2, 2048}, {"t2.medium", 2, 4096}, {"t3.medium", 2, 4096}, {"t3a.medium", 2, 4096}, {"t4g.medium", 2, 4096},
	{"t2.large", 2, 8192}, {"t3.large", 2, 8192}, {"t2.xlarge", 4, 16384}, {"t3.xlarge", 4, 16384}, {"t3.2xlarge", 8, 32768},
	{"c5.large", 2, 4096}, {"c5.xlarge", 4, 8192}, {"c5.2xlarge", 8, 16384}, {"c5.4xlarge", 16, 32768}, {"c5.9xlarge", 36, 73728},
	{"c6i.large", 2, 4096}, {"c6i.xlarge", 4, 8192}, {"c6g.large", 2, 4096}, {"c6g.xlarge", 4, 8192},
	{"m4.large", 2, 8192}, {"m5.large", 2, 8192}, {"m5.xlarge", 4, 16384}, {"m5.2xlarge", 8, 32768}, {"m5.4xlarge", 16, 65536},
	{"m5.8xlarge", 32, 131072}, {"m6i.large", 2, 8192}, {"m6i.xlarge", 4, 16384}, {"m6g.large", 2, 8192}, {"m6g.xlarge", 4, 16384},
	{"r5.large", 2, 16384}, {"r5.xlarge", 4, 32768}, {"r5.2xlarge", 8, 65536}, {"r6i.large", 2, 16384},
}

func findType(name string) (instanceType, bool) {
	for _, t := range instanceTypes {
		if t.name == name {
			return t, true
		}
	}
	return instanceType{}, false
}

// arm tells of the types with AWS's own processors.
func (t instanceType) arm() bool {
	family, _, _ := strings.Cut(t.name, ".")
	return strings.HasSuffix(family, "g")
}

func (t instanceType) architecture() string {
	if t.arm() {
		return "arm64"
	}
	return "x86_64"
}

// architecture is this machine's, in EC2's words.
var architecture = map[string]string{"amd64": "x86_64", "arm64": "arm64"}[goruntime.GOARCH]

type vcpuInfo struct {
	DefaultVCpus, DefaultCores, DefaultThreadsPerCore *int32
}

type memoryInfo struct{ SizeInMiB *int64 }

type processorInfo struct{ SupportedArchitectures []string }

type instanceTypeInfo struct {
	InstanceType                                           *string
	CurrentGeneration, BareMetal, InstanceStorageSupported *bool
	BurstablePerformanceSupported                          *bool
	Hypervisor                                             *string
	SupportedUsageClasses                                  []string
	SupportedRootDeviceTypes                               []string
	SupportedVirtualizationTypes                           []string
	ProcessorInfo                                          *processorInfo
	VCpuInfo                                               *vcpuInfo
	MemoryInfo                                             *memoryInfo
}

type describeTypesInput struct {
	InstanceTypes              []string `query:"InstanceType"`
	Filters                    []filter `query:"Filter"`
	MaxResults                 *int32
	NextToken                  *string
	IncludeUnsupportedInRegion bool
	DryRun                     bool
}

type describeTypesOutput struct {
	InstanceTypes []instanceTypeInfo `xml:"instanceTypeSet"`
	NextToken     *string
}

func (a *api) describeTypes(_ context.Context, _ *awsapi.Call, in *describeTypesInput) (*describeTypesOutput, error) {
	typeFacts := func(t instanceType) facts {
		return facts{
			"instance-type": {t.name}, "current-generation": {"true"}, "bare-metal": {"false"}, "hypervisor": {"nitro"},
			"processor-info.supported-architecture": {t.architecture()}, "vcpu-info.default-vcpus": {fmt.Sprint(t.cpus)},
			"memory-info.size-in-mib": {fmt.Sprint(t.memory)}, "supported-usage-class": {"on-demand"}, "supported-virtualization-type": {"hvm"},
			"supported-root-device-type": {"ebs"}, "instance-storage-supported": {"false"}, "burstable-performance-supported": {fmt.Sprint(t.name[0] == 't')},
		}
	}
	page, next, err := choose(instanceTypes, instanceType.id, typeFacts, listing{
		name: "DescribeInstanceTypes", ids: in.InstanceTypes, missing: "InvalidInstanceType", filters: in.Filters, max: in.MaxResults, token: in.NextToken,
	})
	if err != nil {
		return nil, err
	}
	out := &describeTypesOutput{InstanceTypes: []instanceTypeInfo{}, NextToken: next}
	for _, t := range page {
		out.InstanceTypes = append(out.InstanceTypes, instanceTypeInfo{
			InstanceType: of(t.name), CurrentGeneration: of(true), BareMetal: of(false), InstanceStorageSupported: of(false),
			BurstablePerformanceSupported: of(t.name[0] == 't'), Hypervisor: of("nitro"),
			SupportedUsageClasses: []string{"on-demand"}, SupportedRootDeviceTypes: []string{"ebs"}, SupportedVirtualizationTypes: []string{"hvm"},
			ProcessorInfo: &processorInfo{SupportedArchitectures: []string{t.architecture()}},
			VCpuInfo:      &vcpuInfo{DefaultVCpus: of(int32(t.cpus)), DefaultCores: of(int32(max(1, t.cpus/2))), DefaultThreadsPerCore: of(int32(min(2, t.cpus)))},
			MemoryInfo:    &memoryInfo{SizeInMiB: of(t.memory)},
		})
	}
	return out, nil
}

type offering struct{ InstanceType, LocationType, Location *string }

type describeOfferingsInput struct {
	LocationType *string
	Filters      []filter `query:"Filter"`
	MaxResults   *int32
	NextToken    *string
	DryRun       bool
}

type describeOfferingsOutput struct {
	InstanceTypeOfferings []offering `xml:"instanceTypeOfferingSet"`
	NextToken             *string
}

func (a *api) describeOfferings(_ context.Context, _ *awsapi.Call, in *describeOfferingsInput) (*describeOfferingsOutput, error) {
	kind := value(in.LocationType)
	var locations []string
	switch kind {
	case "", "region":
		kind, locations = "region", []string{a.o.Region}
	case "availability-zone":
		locations = a.zones()
	case "availability-zone-id":
		for _, name := range a.zones() {
			locations = append(locations, zoneID(name))
		}
	default:
		return nil, awsapi.Refuse("InvalidParameterValue", "The location type '%s' is invalid: region, availability-zone and availability-zone-id are served", kind)
	}
	type pair struct{ instanceType, location string }
	var all []pair
	for _, t := range instanceTypes {
		for _, l := range locations {
			all = append(all, pair{t.name, l})
		}
	}
	page, next, err := choose(all, func(p pair) string { return p.instanceType + " " + p.location },
		func(p pair) facts { return facts{"instance-type": {p.instanceType}, "location": {p.location}} },
		listing{name: "DescribeInstanceTypeOfferings " + kind, filters: in.Filters, max: in.MaxResults, token: in.NextToken})
	if err != nil {
		return nil, err
	}
	out := &describeOfferingsOutput{InstanceTypeOfferings: []offering{}, NextToken: next}
	for _, p := range page {
		out.InstanceTypeOfferings = append(out.InstanceTypeOfferings, offering{InstanceType: of(p.instanceType), LocationType: of(kind), Location: of(p.location)})
	}
	return out, nil
}

// image is a machine image for container instances. Here it is a name alone: a
// host runs on this machine, whatever its image.
type image struct {
	id, name, family, arch string
}

// images are what SSM's names of ECS images stand for.
var images = []image{
	{"ami-0ec5a1500000000a1", "amzn2-ami-ecs-hvm-2.0.20260101-x86_64-ebs", "amazon-linux-2", "x86_64"},
	{"ami-0ec5a1500000000a2", "amzn2-ami-ecs-hvm-2.0.20260101-arm64-ebs", "amazon-linux-2/arm64", "arm64"},
	{"ami-0ec5a1500000000a3", "amzn2-ami-ecs-gpu-hvm-2.0.20260101-x86_64-ebs", "amazon-linux-2/gpu", "x86_64"},
	{"ami-0ec5a1500000000b1", "al2023-ami-ecs-hvm-2023.0.20260101-kernel-6.1-x86_64", "amazon-linux-2023", "x86_64"},
	{"ami-0ec5a1500000000b2", "al2023-ami-ecs-hvm-2023.0.20260101-kernel-6.1-arm64", "amazon-linux-2023/arm64", "arm64"},
	{"ami-0ec5a1500000000c1", "amzn-ami-2018.03.20260101-amazon-ecs-optimized", "amazon-linux", "x86_64"},
}

func imageOf(i *engine.ContainerInstance) string {
	if id := i.Attributes["ecs.ami-id"]; id != "" {
		return id
	}
	return images[3].id
}

type imageInfo struct {
	ImageId, Name, Description, Architecture, CreationDate, RootDeviceName, RootDeviceType *string
	VirtualizationType, Hypervisor, ImageType, ImageLocation, ImageOwnerAlias              *string
	State                                                                                  *string `xml:"imageState"`
	OwnerId                                                                                *string `xml:"imageOwnerId"`
	Public                                                                                 *bool   `xml:"isPublic"`
	Tags                                                                                   []tag   `xml:"tagSet"`
}

type describeImagesInput struct {
	ImageIds          []string `query:"ImageId"`
	Owners            []string `query:"Owner"`
	ExecutableUsers   []string `query:"ExecutableBy"`
	Filters           []filter `query:"Filter"`
	MaxResults        *int32
	NextToken         *string
	IncludeDeprecated bool
	IncludeDisabled   bool
	DryRun            bool
}

type describeImagesOutput struct {
	Images    []imageInfo `xml:"imagesSet"`
	NextToken *string
}

const (
	imageOwner = "591542846629" // the account that publishes ECS's images
	imageDate  = "2026-01-01T00:00:00.000Z"
)

func (a *api) describeImages(_ context.Context, _ *awsapi.Call, in *describeImagesInput) (*describeImagesOutput, error) {
	imageFacts := func(i image) facts {
		return facts{
			"image-id": {i.id}, "name": {i.name}, "architecture": {i.arch}, "state": {"available"}, "owner-alias": {"amazon"}, "owner-id": {imageOwner},
			"root-device-type": {"ebs"}, "virtualization-type": {"hvm"}, "is-public": {"true"}, "image-type": {"machine"}, "description": {describe(i)},
			"hypervisor": {"xen"},
		}.addTags(nil)
	}
	filters := in.Filters
	if len(in.Owners) > 0 {
		owners := filter{Name: of("owner-id")}
		for _, owner := range in.Owners {
			if owner == "amazon" {
				owner = imageOwner
			}
			owners.Values = append(owners.Values, owner)
		}
		filters = append(filters, owners)
	}
	page, next, err := choose(images, func(i image) string { return i.id }, imageFacts, listing{
		name: "DescribeImages", ids: in.ImageIds, missing: "InvalidAMIID.NotFound", filters: filters, max: in.MaxResults, token: in.NextToken,
	})
	if err != nil {
		return nil, err
	}
	out := &describeImagesOutput{Images: []imageInfo{}, NextToken: next}
	for _, i := range page {
		out.Images = append(out.Images, imageInfo{
			ImageId: of(i.id), Name: of(i.name), Description: of(describe(i)), Architecture: of(i.arch), CreationDate: of(imageDate),
			RootDeviceName: of("/dev/xvda"), RootDeviceType: of("ebs"), VirtualizationType: of("hvm"), Hypervisor: of("xen"), ImageType: of("machine"),
			ImageLocation: of("amazon/" + i.name), ImageOwnerAlias: of("amazon"), State: of("available"), OwnerId: of(imageOwner), Public: of(true), Tags: []tag{},
		})
	}
	return out, nil
}

func describe(i image) string { return "An ECS-optimized image: a name alone on this engine" }

// recommended is what SSM tells of an image.
func (i image) recommended() (string, error) {
	text, err := json.Marshal(map[string]any{
		"schema_version": 1, "image_id": i.id, "image_name": i.name, "os": i.family, "ecs_agent_version": "1.105.0", "ecs_runtime_version": "plimsoll",
	})
	return string(text), err
}
