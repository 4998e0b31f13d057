package ecs

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"plimsoll"
)

// ec2Query asks EC2 by its Query API: its SDK client takes minutes and gigabytes
// to compile, for three operations.
type ec2Query struct {
	endpoint string
	cfg      aws.Config
	signer   *v4.Signer
	client   *http.Client
}

// ec2AnswerBytes bounds an answer.
const ec2AnswerBytes = 8 << 20

func newEC2Query(cfg aws.Config, endpoint string) *ec2Query {
	if endpoint == "" {
		endpoint = "https://ec2." + cfg.Region + ".amazonaws.com"
	}
	return &ec2Query{endpoint: endpoint + "/", cfg: cfg, signer: v4.NewSigner(), client: &http.Client{}}
}

// typeResources asks what an instance type has for tasks.
func (q *ec2Query) typeResources(ctx context.Context, name string, timeout time.Duration) (plimsoll.Resources, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var answer struct {
		Types []struct {
			CPUs   int64 `xml:"vCpuInfo>defaultVCpus"`
			Memory int64 `xml:"memoryInfo>sizeInMiB"`
			GPUs   []struct {
				Count int64 `xml:"count"`
			} `xml:"gpuInfo>gpus>item"`
		} `xml:"instanceTypeSet>item"`
	}
	if err := q.ask(ctx, url.Values{"Action": {"DescribeInstanceTypes"}, "InstanceType.1": {name}}, &answer); err != nil {
		return plimsoll.Resources{}, fmt.Errorf("instance type %q: %w", name, err)
	}
	if len(answer.Types) != 1 || answer.Types[0].CPUs <= 0 {
		return plimsoll.Resources{}, fmt.Errorf("instance type %q: EC2 does not say what it has", name)
	}
	found := answer.Types[0]
	result := plimsoll.Resources{CPU: found.CPUs * 1024, Memory: int64(agentMemory * float64(found.Memory))}
	for _, gpu := range found.GPUs {
		result.GPU += gpu.Count
	}
	return result, nil
}

// templateType asks which instance type a launch template's version launches; "" where
// it names none (it may name requirements that a type has to meet).
func (q *ec2Query) templateType(ctx context.Context, template types.LaunchTemplateSpecification, timeout time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	form, name := url.Values{"Action": {"DescribeLaunchTemplateVersions"}}, aws.ToString(template.LaunchTemplateName)
	if id := aws.ToString(template.LaunchTemplateId); id != "" {
		form.Set("LaunchTemplateId", id)
		name = id
	} else {
		form.Set("LaunchTemplateName", name)
	}
	version := aws.ToString(template.Version)
	if version == "" {
		version = "$Default" // as Auto Scaling takes it
	}
	form.Set("LaunchTemplateVersion.1", version)
	var answer struct {
		Types []string `xml:"launchTemplateVersionSet>item>launchTemplateData>instanceType"`
	}
	if err := q.ask(ctx, form, &answer); err != nil {
		return "", fmt.Errorf("launch template %q, version %q: %w", name, version, err)
	}
	if len(answer.Types) == 0 {
		return "", nil
	}
	return answer.Types[0], nil
}

// addresses asks one page of the instances' private addresses, by id, and gives
// the token of the next one.
func (q *ec2Query) addresses(ctx context.Context, form url.Values, timeout time.Duration) (map[string]string, string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var answer struct {
		Instances []struct {
			ID   string `xml:"instanceId"`
			IPv4 string `xml:"privateIpAddress"`
			IPv6 string `xml:"ipv6Address"`
		} `xml:"reservationSet>item>instancesSet>item"`
		Next string `xml:"nextToken"`
	}
	if err := q.ask(ctx, form, &answer); err != nil {
		return nil, "", err
	}
	found := map[string]string{}
	for _, i := range answer.Instances {
		if address := cmp.Or(i.IPv4, i.IPv6); address != "" {
			found[i.ID] = address
		}
	}
	return found, answer.Next, nil
}

// ask sends one signed request.
func (q *ec2Query) ask(ctx context.Context, form url.Values, into any) error {
	form.Set("Version", "2016-11-15")
	body := []byte(form.Encode())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, q.endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	keys, err := q.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	if err := q.signer.SignHTTP(ctx, keys, request, hex.EncodeToString(sum[:]), "ec2", q.cfg.Region, time.Now()); err != nil {
		return err
	}
	response, err := q.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, ec2AnswerBytes))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		var refusal struct {
			Code    string `xml:"Errors>Error>Code"`
			Message string `xml:"Errors>Error>Message"`
		}
		_ = xml.Unmarshal(text, &refusal) // what cannot be read is told by its status
		return fmt.Errorf("EC2 answered %d %s: %s", response.StatusCode, refusal.Code, refusal.Message)
	}
	return xml.Unmarshal(text, into)
}
