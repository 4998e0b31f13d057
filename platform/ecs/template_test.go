package ecs_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"plimsoll/mototest"
	"plimsoll/platform/ecs"
)

// A group at zero has no instance to look at: what it would launch is in the version
// of the launch template that it names.
func TestWhatAGroupAtZeroLaunchesIsReadFromItsLaunchTemplate(t *testing.T) {
	endpoint := mototest.Start(t)
	reset(t, endpoint)
	motoTemplate(t, endpoint, "fleet", "m5.large")
	motoTemplate(t, endpoint, "fleet", "m5.xlarge") // version 2
	template := func(version string) *types.LaunchTemplateSpecification {
		return &types.LaunchTemplateSpecification{LaunchTemplateName: aws.String("fleet"), Version: aws.String(version)}
	}
	mixed := func(overrides ...types.LaunchTemplateOverrides) *types.MixedInstancesPolicy {
		return &types.MixedInstancesPolicy{LaunchTemplate: &types.LaunchTemplate{LaunchTemplateSpecification: template("$Latest"), Overrides: overrides}}
	}
	scaling := autoscaling.New(autoscaling.Options{
		Region: "us-east-1", BaseEndpoint: &endpoint, Credentials: credentials.NewStaticCredentialsProvider(testKey, testSecret, ""),
	})
	for name, c := range map[string]struct {
		template *types.LaunchTemplateSpecification
		policy   *types.MixedInstancesPolicy
		want     string
		cpu      int64
	}{
		"first":  {template: template("1"), want: "m5.large", cpu: 2048},
		"latest": {template: template("$Latest"), want: "m5.xlarge", cpu: 4096},
		"policy": {policy: mixed(), want: "m5.xlarge", cpu: 4096},
		"mixed":  {policy: mixed(types.LaunchTemplateOverrides{InstanceType: aws.String("m5.large")}), want: "m5.large", cpu: 2048},
	} {
		_, err := scaling.CreateAutoScalingGroup(t.Context(), &autoscaling.CreateAutoScalingGroupInput{
			AutoScalingGroupName: &name, LaunchTemplate: c.template, MixedInstancesPolicy: c.policy,
			MinSize: aws.Int32(0), MaxSize: aws.Int32(3), DesiredCapacity: aws.Int32(0), AvailabilityZones: []string{"us-east-1a"},
		})
		if err != nil {
			t.Fatal(err)
		}
		cluster := newCluster(t, ecs.Options{Cluster: "shop", Endpoint: endpoint, HostGroups: []string{name}})
		groups, err := cluster.HostGroups(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := groups[0].Types; len(got) != 1 || got[0].Name != c.want || got[0].Resources.CPU != c.cpu {
			t.Errorf("group %q launches %+v; it is to be %s with %d CPU units", name, got, c.want, c.cpu)
		}
	}
}

// motoTemplate makes a launch template, or its next version.
func motoTemplate(t *testing.T, endpoint, name, kind string) {
	t.Helper()
	for _, action := range []string{"CreateLaunchTemplate", "CreateLaunchTemplateVersion"} {
		form := url.Values{"Action": {action}, "LaunchTemplateName": {name}, "LaunchTemplateData.InstanceType": {kind}, "LaunchTemplateData.ImageId": {"ami-12c6146b"}}
		if status, _ := motoEC2(t, endpoint, form); status == http.StatusOK {
			return
		}
	}
	t.Fatalf("the launch template %q cannot be made", name)
}

// motoEC2 asks moto's EC2, whose SDK client is left out here for the same reason as
// in the package.
func motoEC2(t *testing.T, endpoint string, form url.Values) (status int, text []byte) {
	t.Helper()
	form.Set("Version", "2016-11-15")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint+"/", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	// The service is read from the scope; nobody checks the signature there.
	request.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=none", testKey))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if text, err = io.ReadAll(response.Body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, text
}
