package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"plimsoll/engine/tenants"
)

func parameters(pairs ...string) (list []cfntypes.Parameter) {
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, cfntypes.Parameter{ParameterKey: &pairs[i], ParameterValue: &pairs[i+1]})
	}
	return list
}

// TestTheCallsOfECSCLIWork replays the calls of ecs-cli up, scale, ps and down.
func TestTheCallsOfECSCLIWork(t *testing.T) {
	state := t.TempDir()
	s := newEngine(t, state)
	ctx, c := t.Context(), s.config("us-east-1")
	tasks, stacks, systems := ecs.NewFromConfig(c), cloudformation.NewFromConfig(c), ssm.NewFromConfig(c)
	cluster, name := aws.String("shop"), aws.String("amazon-ecs-cli-setup-shop")
	hosts := func() []string {
		t.Helper()
		out, err := ecs.NewFromConfig(s.config("us-east-1")).ListContainerInstances(ctx, &ecs.ListContainerInstancesInput{Cluster: cluster})
		s.must(err)
		return out.ContainerInstanceArns
	}

	// up
	_, err := tasks.CreateCluster(ctx, &ecs.CreateClusterInput{ClusterName: cluster})
	s.must(err)
	if _, err = stacks.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: name}); code(err) != "ValidationError" {
		t.Errorf("a stack that is not there yet: %v", err)
	}
	ami, err := systems.GetParameters(ctx, &ssm.GetParametersInput{Names: []string{"/aws/service/ecs/optimized-ami/amazon-linux-2/recommended", "/none"}})
	s.must(err)
	if len(ami.Parameters) != 1 || !strings.Contains(*ami.Parameters[0].Value, `"image_id":"ami-`) || len(ami.InvalidParameters) != 1 {
		t.Errorf("images %+v", ami)
	}
	_, err = stacks.CreateStack(ctx, &cloudformation.CreateStackInput{
		StackName: name, TemplateBody: aws.String("{}"), Capabilities: []cfntypes.Capability{"CAPABILITY_IAM"},
		Parameters: parameters("EcsCluster", "shop", "AsgMaxSize", "2", "EcsInstanceType", "t2.medium", "EcsAmiId", "ami-1"),
	})
	s.must(err)
	s.must(cloudformation.NewStackCreateCompleteWaiter(stacks).Wait(ctx, &cloudformation.DescribeStacksInput{StackName: name}, time.Minute))
	resources, err := stacks.DescribeStackResources(ctx, &cloudformation.DescribeStackResourcesInput{StackName: name})
	s.must(err)
	if len(hosts()) != 2 || len(resources.StackResources) != 5 {
		t.Errorf("hosts %v, resources %+v", hosts(), resources.StackResources)
	}
	described, err := tasks.DescribeContainerInstances(ctx, &ecs.DescribeContainerInstancesInput{Cluster: cluster, ContainerInstances: hosts()})
	s.must(err)
	if r := described.ContainerInstances[0].RegisteredResources; r[0].IntegerValue != 2048 || r[1].IntegerValue != 4096 {
		t.Errorf("a t2.medium registers %+v", r)
	}

	// scale
	update := func(size string) error {
		_, err := stacks.UpdateStack(ctx, &cloudformation.UpdateStackInput{
			StackName: name, UsePreviousTemplate: aws.Bool(true), Parameters: append(parameters("AsgMaxSize", size),
				cfntypes.Parameter{ParameterKey: aws.String("EcsCluster"), UsePreviousValue: aws.Bool(true)}),
		})
		return err
	}
	before := hosts()
	s.must(update("4"))
	if after := hosts(); len(after) != 4 || after[0] != before[0] || after[1] != before[1] {
		t.Errorf("scaled from %v to %v", before, after)
	}
	if err := update("4"); code(err) != "ValidationError" || !strings.Contains(err.Error(), "No updates are to be performed") {
		t.Errorf("nothing to update: %v", err)
	}
	if err := update("many"); code(err) != "ValidationError" {
		t.Errorf("many hosts: %v", err)
	}
	s.must(update("1"))
	if len(hosts()) != 1 {
		t.Errorf("scaled in to %v", hosts())
	}

	// It is there after a restart, and the engine's own hosts are too.
	s.must(s.stop())
	s = newEngine(t, state)
	stacks, tasks = cloudformation.NewFromConfig(s.config("us-east-1")), ecs.NewFromConfig(s.config("us-east-1"))
	if _, own := s.count(tasks); len(hosts()) != 1 || own != 2 {
		t.Errorf("after a restart: %v, own %d", hosts(), own)
	}

	// down
	_, err = stacks.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: name})
	s.must(err)
	s.must(cloudformation.NewStackDeleteCompleteWaiter(stacks).Wait(ctx, &cloudformation.DescribeStacksInput{StackName: name}, time.Minute))
	if len(hosts()) != 0 {
		t.Errorf("after down: %v", hosts())
	}
	_, err = stacks.DescribeStackEvents(ctx, &cloudformation.DescribeStackEventsInput{StackName: name})
	if code(err) != "ValidationError" {
		t.Errorf("the events of a deleted stack: %v", err)
	}
	_, err = tasks.DeleteCluster(ctx, &ecs.DeleteClusterInput{Cluster: cluster})
	s.must(err)
}

func TestAStackThatCannotBeMadeIsRolledBack(t *testing.T) {
	s := newEngine(t, t.TempDir())
	red := s.tenant("red", tenants.Quota{Hosts: 2})
	c := s.config("us-east-1", red.Keys[0])
	stacks := cloudformation.NewFromConfig(c)
	create := func(cluster, size, kind string) (*cloudformation.CreateStackOutput, error) {
		return stacks.CreateStack(t.Context(), &cloudformation.CreateStackInput{
			StackName: aws.String("s"), TemplateBody: aws.String("{}"), Parameters: parameters("EcsCluster", cluster, "AsgMaxSize", size, "EcsInstanceType", kind),
		})
	}
	for _, wrong := range [][]string{{"nowhere", "1", "t2.micro"}, {"default", "-1", "t2.micro"}, {"default", "1", "x9.huge"}, {"", "1", "t2.micro"}} {
		if _, err := create(wrong[0], wrong[1], wrong[2]); code(err) != "ValidationError" {
			t.Errorf("%v: %v", wrong, err)
		}
	}
	_, err := create("default", "2", "t2.micro") // with the one that the tenant has, three
	s.must(err)
	got, err := stacks.DescribeStacks(t.Context(), &cloudformation.DescribeStacksInput{StackName: aws.String("s")})
	s.must(err)
	if s0 := got.Stacks[0]; s0.StackStatus != "ROLLBACK_COMPLETE" || !strings.Contains(*s0.StackStatusReason, "quota of 2 container instances") {
		t.Errorf("the stack is %s: %s", s0.StackStatus, aws.ToString(s0.StackStatusReason))
	}
	if _, n := s.count(ecs.NewFromConfig(c)); n != 1 {
		t.Errorf("%d hosts", n)
	}
	if _, err = create("default", "1", "t2.micro"); code(err) != "AlreadyExistsException" {
		t.Errorf("the name is taken: %v", err)
	}
}

// cli runs the AWS CLI with nothing but what `plimsoll env` prints.
func (s *engineStand) cli(args ...string) (string, error) {
	s.t.Helper()
	if _, err := exec.LookPath("aws"); err != nil {
		s.t.Skip("the AWS CLI is not installed")
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "aws", args...)
	c.Env = s.env()
	out, err := c.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = errors.New(string(exit.Stderr))
	}
	return strings.TrimSpace(string(out)), err
}

// env is what `plimsoll env` prints, and nothing of the user's own.
func (s *engineStand) env() []string {
	s.t.Helper()
	keys, err := s.config("us-east-1").Credentials.Retrieve(s.t.Context())
	s.must(err)
	home := s.t.TempDir()
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "PYENV_ROOT=" + os.Getenv("PYENV_ROOT"), "AWS_CONFIG_FILE=" + filepath.Join(home, "none"), "AWS_MAX_ATTEMPTS=1", "AWS_PAGER=",
		"AWS_ENDPOINT_URL=" + s.url, "AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1",
		"AWS_ACCESS_KEY_ID=" + keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + keys.SecretAccessKey,
	}
}

func TestTheAWSCLIReachesEveryService(t *testing.T) {
	s := newEngine(t, t.TempDir())
	for _, c := range []struct {
		want string
		args []string
	}{
		{"running\trunning", []string{"ec2", "describe-instances", "--query", "Reservations[].Instances[].State.Name", "--filters", "Name=instance-state-name,Values=run*"}},
		{"ami-", []string{"ssm", "get-parameter", "--name", "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id", "--query", "Parameter.Value"}},
		{"rule/r", []string{"events", "put-rule", "--name", "r", "--event-pattern", `{"source":["aws.ecs"]}`, "--query", "RuleArn"}},
		{"(ValidationError)", []string{"cloudformation", "describe-stacks", "--stack-name", "none"}},
		{"arn:aws:iam::", []string{"sts", "get-caller-identity", "--query", "Arn"}},
	} {
		out, err := s.cli(append(c.args, "--output", "text")...)
		if got := fmt.Sprint(out, err); !strings.Contains(got, c.want) {
			t.Errorf("aws %s: got %q, want %q", strings.Join(c.args, " "), got, c.want)
		}
	}
}

// boto3 makes calls by Python's SDK, each in a line of JSON, and answers each by
// a line: what a path of the answer has, or the error's code.
const boto3 = `
import boto3, json, sys, os, jmespath
from botocore.exceptions import ClientError
kept, clients = {}, {}
for line in sys.stdin:
    call = json.loads(line)
    text = json.dumps(call["in"])
    for name, value in kept.items():
        text = text.replace("<" + name + ">", str(value))
    client = clients.setdefault(call["service"], boto3.client(call["service"], endpoint_url=os.environ["AWS_ENDPOINT_URL"]))
    try:
        got = jmespath.search(call["path"], getattr(client, call["op"])(**json.loads(text)))
        if call.get("keep"): kept[call["keep"]] = got
        print(json.dumps(got, default=str), flush=True)
    except ClientError as e:
        print(json.dumps("error " + e.response["Error"]["Code"]), flush=True)
`

func TestEC2IsAnsweredToBoto3(t *testing.T) {
	s := newEngine(t, t.TempDir())
	type call struct {
		Service string `json:"service"`
		Op      string `json:"op"`
		In      any    `json:"in"`
		Path    string `json:"path"`
		Keep    string `json:"keep,omitempty"`
	}
	type m = map[string]any
	type l = []any
	tcp80 := l{m{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": l{m{"CidrIp": "0.0.0.0/0", "Description": "all"}}}}
	rows := []struct {
		call
		want string
	}{
		{call{"ec2", "describe_availability_zones", m{}, "AvailabilityZones[].ZoneName", ""}, `["us-east-1a", "us-east-1b", "us-east-1c"]`},
		{call{"ec2", "describe_availability_zones", m{"ZoneIds": l{"use1-az2"}}, "AvailabilityZones[].ZoneName", ""}, `["us-east-1b"]`},
		{call{"ec2", "create_vpc", m{"CidrBlock": "10.1.0.0/16", "TagSpecifications": l{m{"ResourceType": "vpc", "Tags": l{m{"Key": "Name", "Value": "mine"}}}}}, "Vpc.VpcId", "vpc"}, `"vpc-`},
		{call{"ec2", "describe_vpcs", m{"Filters": l{m{"Name": "tag:Name", "Values": l{"mi*"}}}}, "Vpcs[].CidrBlock", ""}, `["10.1.0.0/16"]`},
		{call{"ec2", "describe_vpcs", m{"Filters": l{m{"Name": "is-default", "Values": l{"true"}}}}, "Vpcs[].CidrBlock", ""}, `["172.31.0.0/16"]`},
		{call{"ec2", "create_subnet", m{"VpcId": "<vpc>", "CidrBlock": "10.1.2.0/24"}, "Subnet.[CidrBlock, AvailabilityZone, AvailableIpAddressCount]", ""}, `["10.1.2.0/24", "us-east-1a", 251]`},
		{call{"ec2", "describe_subnets", m{"Filters": l{m{"Name": "vpc-id", "Values": l{"<vpc>"}}}}, "length(Subnets)", ""}, `1`},
		{call{"ec2", "create_security_group", m{"GroupName": "web", "Description": "web", "VpcId": "<vpc>"}, "GroupId", "group"}, `"sg-`},
		{call{"ec2", "authorize_security_group_ingress", m{"GroupId": "<group>", "IpPermissions": tcp80}, "SecurityGroupRules[].CidrIpv4", ""}, `["0.0.0.0/0"]`},
		{call{"ec2", "describe_security_groups", m{"GroupIds": l{"<group>"}}, "SecurityGroups[].IpPermissions[].[FromPort, IpRanges[0].Description]", ""}, `[[80, "all"]]`},
		{call{"ec2", "authorize_security_group_ingress", m{"GroupId": "<group>", "IpPermissions": tcp80}, "@", ""}, `"error InvalidPermission.Duplicate"`},
		{call{"ec2", "revoke_security_group_ingress", m{"GroupId": "<group>", "IpPermissions": tcp80}, "Return", ""}, `true`},
		{call{"ec2", "revoke_security_group_ingress", m{"GroupId": "<group>", "IpPermissions": tcp80}, "@", ""}, `"error InvalidPermission.NotFound"`},
		{call{"ec2", "describe_instances", m{}, "Reservations[0].Instances[0].InstanceId", "host"}, `"i-`},
		{call{"ec2", "create_tags", m{"Resources": l{"<host>", "<vpc>"}, "Tags": l{m{"Key": "team", "Value": "red"}}}, "@.missing", ""}, `null`},
		{call{"ec2", "describe_instances", m{"Filters": l{m{"Name": "tag:team", "Values": l{"red"}}}}, "Reservations[].Instances[].[InstanceType, State.Name, Tags[0].Value]", ""}, `[["t2.micro", "running", "red"]]`},
		{call{"ec2", "describe_tags", m{"Filters": l{m{"Name": "key", "Values": l{"team"}}}}, "Tags[].ResourceType | sort(@)", ""}, `["instance", "vpc"]`},
		{call{"ec2", "delete_tags", m{"Resources": l{"<host>"}, "Tags": l{m{"Key": "team"}}}, "@.missing", ""}, `null`},
		{call{"ec2", "describe_instances", m{"Filters": l{m{"Name": "tag-key", "Values": l{"team"}}}}, "Reservations", ""}, `[]`},
		{call{"ec2", "describe_network_interfaces", m{"Filters": l{m{"Name": "attachment.instance-id", "Values": l{"<host>"}}}}, "NetworkInterfaces[].Status", ""}, `["in-use"]`},
		{call{"ec2", "describe_instance_types", m{"InstanceTypes": l{"t3.medium"}}, "InstanceTypes[].[VCpuInfo.DefaultVCpus, MemoryInfo.SizeInMiB]", ""}, `[[2, 4096]]`},
		{call{"ec2", "describe_instance_types", m{"MaxResults": 5}, "NextToken", "next"}, `"`},
		{call{"ec2", "describe_instance_types", m{"MaxResults": 5, "NextToken": "<next>"}, "length(InstanceTypes)", ""}, `5`},
		{call{"ec2", "describe_instance_type_offerings", m{"LocationType": "availability-zone", "Filters": l{m{"Name": "instance-type", "Values": l{"t2.micro"}}}}, "length(InstanceTypeOfferings)", ""}, `3`},
		{call{"ec2", "describe_images", m{"Owners": l{"amazon"}, "Filters": l{m{"Name": "name", "Values": l{"al2023-ami-ecs-*"}}}}, "Images[].Architecture | sort(@)", ""}, `["arm64", "x86_64"]`},
		{call{"ec2", "describe_regions", m{"RegionNames": l{"eu-west-1"}}, "Regions[].RegionName", ""}, `["eu-west-1"]`},
		{call{"ec2", "create_key_pair", m{"KeyName": "k", "KeyType": "ed25519"}, "KeyMaterial", ""}, `"-----BEGIN PRIVATE KEY`},
		{call{"ec2", "create_key_pair", m{"KeyName": "k"}, "@", ""}, `"error InvalidKeyPair.Duplicate"`},
		{call{"ec2", "describe_key_pairs", m{"KeyNames": l{"k"}}, "KeyPairs[].KeyType", ""}, `["ed25519"]`},
		{call{"ec2", "delete_key_pair", m{"KeyName": "k"}, "Return", ""}, `true`},
		{call{"ec2", "describe_key_pairs", m{"KeyNames": l{"k"}}, "@", ""}, `"error InvalidKeyPair.NotFound"`},
		{call{"ec2", "describe_vpcs", m{"VpcIds": l{"vpc-0"}}, "@", ""}, `"error InvalidVpcID.NotFound"`},
		{call{"ec2", "describe_vpcs", m{"Filters": l{m{"Name": "colour", "Values": l{"red"}}}}, "@", ""}, `"error InvalidParameterValue"`},
		{call{"ec2", "describe_vpcs", m{"DryRun": true}, "@", ""}, `"error DryRunOperation"`},
		{call{"ec2", "describe_vpcs", m{"MaxResults": 6, "NextToken": "x"}, "@", ""}, `"error InvalidParameterValue"`},
		{call{"ec2", "create_vpc", m{"CidrBlock": "10.0.0.0/8"}, "@", ""}, `"error InvalidVpc.Range"`},
		{call{"ec2", "create_vpc", m{"CidrBlock": "10.0.0.0/16", "AmazonProvidedIpv6CidrBlock": true}, "@", ""}, `"error UnknownParameter"`},
		{call{"ec2", "create_subnet", m{"VpcId": "<vpc>", "CidrBlock": "10.1.2.128/25"}, "@", ""}, `"error InvalidSubnet.Conflict"`},
		{call{"ec2", "create_subnet", m{"VpcId": "<vpc>", "CidrBlock": "10.2.0.0/24"}, "@", ""}, `"error InvalidSubnet.Range"`},
		{call{"ec2", "delete_vpc", m{"VpcId": "<vpc>"}, "@", ""}, `"error DependencyViolation"`},
		{call{"ec2", "delete_security_group", m{"GroupId": "<group>"}, "Return", ""}, `true`},
		{call{"ec2", "run_instances", m{"MinCount": 1, "MaxCount": 1}, "@", ""}, `"error InvalidAction"`},
		{call{"ssm", "get_parameter", m{"Name": "x"}, "@", ""}, `"error ParameterNotFound"`},
	}
	var in strings.Builder
	for _, row := range rows {
		line, err := json.Marshal(row.call)
		s.must(err)
		in.Write(append(line, '\n'))
	}
	if err := exec.Command("python3", "-c", "import boto3").Run(); err != nil {
		t.Skip("boto3 is not installed")
	}
	c := exec.CommandContext(t.Context(), "python3", "-c", boto3)
	c.Env, c.Stdin, c.Stderr = s.env(), strings.NewReader(in.String()), os.Stderr
	out, err := c.Output()
	s.must(err)
	answers := strings.Split(strings.TrimSpace(string(out)), "\n")
	for i, row := range rows {
		if i >= len(answers) || !strings.HasPrefix(answers[i], row.want) {
			t.Errorf("%s %s %v: got %s, want %s", row.Service, row.Op, row.In, answers[min(i, len(answers)-1)], row.want)
		}
	}
}
