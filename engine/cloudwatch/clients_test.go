package cloudwatch_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"crypto/sha256"
	"encoding/hex"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// environment is what `plimsoll env` prints, and what the programs need beside.
func (s *stand) environment() []string {
	home := s.t.TempDir()
	return []string{
		"PATH=" + os.Getenv("PATH"), "PYENV_ROOT=" + os.Getenv("PYENV_ROOT"), "HOME=" + home, "AWS_CONFIG_FILE=" + filepath.Join(home, "none"),
		"AWS_ENDPOINT_URL=" + s.url, "AWS_DEFAULT_REGION=" + region, "AWS_REGION=" + region, "AWS_MAX_ATTEMPTS=1", "AWS_PAGER=",
		"AWS_ACCESS_KEY_ID=" + s.keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + s.keys.Secret,
	}
}

func TestASessionOfBoto3(t *testing.T) {
	if testing.Short() {
		t.Skip("boto3 takes seconds to begin: not in a short run")
	}
	if err := exec.CommandContext(t.Context(), "python3", "-c", "import boto3").Run(); err != nil {
		t.Skipf("boto3 is not installed: %v", err)
	}
	s := newStandAt(t, nil)
	c := exec.CommandContext(t.Context(), "python3", filepath.Join("testdata", "session.py"))
	c.Env = s.environment()
	if out, err := c.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "done" {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestASessionOfTheAWSCLI(t *testing.T) {
	if _, err := exec.LookPath("aws"); err != nil {
		t.Skipf("the AWS CLI is not installed: %v", err)
	}
	if testing.Short() {
		t.Skip("each call of the AWS CLI takes most of a second: not in a short run")
	}
	s := newStandAt(t, nil)
	cli := func(want string, args ...string) {
		t.Helper()
		c := exec.CommandContext(t.Context(), "aws", append([]string{"cloudwatch", "--endpoint-url", s.url, "--output", "json"}, args...)...)
		c.Env = s.environment()
		out, err := c.CombinedOutput()
		var compact any
		if json.Unmarshal(out, &compact) == nil {
			out, _ = json.Marshal(compact)
		}
		if got := strings.TrimSpace(string(out)); !strings.Contains(got, want) {
			t.Errorf("aws cloudwatch %s: %v, got %s, want %s", strings.Join(args, " "), err, got, want)
		}
	}
	start, end := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	cli("", "put-metric-data", "--namespace", "jobs", "--metric-name", "waiting", "--value", "42", "--dimensions", "queue=a")
	cli(`{"Metrics":[{"Dimensions":[{"Name":"queue","Value":"a"}],"MetricName":"waiting","Namespace":"jobs"}]}`, "list-metrics")
	cli(`"Maximum":42`, "get-metric-statistics", "--namespace", "jobs", "--metric-name", "waiting", "--dimensions", "Name=queue,Value=a",
		"--start-time", start, "--end-time", end, "--period", "60", "--statistics", "Maximum")
	cli(`"Values":[42]`, "get-metric-data", "--start-time", start, "--end-time", end, "--metric-data-queries",
		`[{"Id":"a","MetricStat":{"Metric":{"Namespace":"jobs","MetricName":"waiting","Dimensions":[{"Name":"queue","Value":"a"}]},"Period":60,"Stat":"Sum"}}]`)
	cli("(InvalidParameterValue)", "put-metric-data", "--namespace", "AWS/ECS", "--metric-name", "m", "--value", "1")
}

func TestOlderClientsSpeakTheQueryProtocol(t *testing.T) {
	s := newStand(t)
	status, body := s.query(url.Values{
		"Action": {"PutMetricData"}, "Namespace": {"jobs"}, "MetricData.member.1.MetricName": {"m"}, "MetricData.member.1.Value": {"7"},
		"MetricData.member.1.Timestamp": {noon.Format(time.RFC3339)}, "MetricData.member.1.Dimensions.member.1.Name": {"a"}, "MetricData.member.1.Dimensions.member.1.Value": {"b"},
	})
	if status != http.StatusOK || !strings.Contains(body, "<PutMetricDataResponse xmlns=\"http://monitoring.amazonaws.com/doc/2010-08-01/\">") {
		t.Fatalf("%d %s", status, body)
	}
	status, body = s.query(url.Values{
		"Action": {"GetMetricStatistics"}, "Namespace": {"jobs"}, "MetricName": {"m"}, "Dimensions.member.1.Name": {"a"}, "Dimensions.member.1.Value": {"b"},
		"StartTime": {noon.Add(-time.Hour).Format(time.RFC3339)}, "EndTime": {noon.Add(time.Hour).Format(time.RFC3339)}, "Period": {"60"}, "Statistics.member.1": {"Sum"},
	})
	if want := "<Datapoints><member><Sum>7</Sum><Timestamp>2026-03-01T12:00:00Z</Timestamp><Unit>None</Unit></member></Datapoints><Label>m</Label>"; status != http.StatusOK || !strings.Contains(body, want) {
		t.Errorf("%d %s, want %s", status, body, want)
	}
	status, body = s.query(url.Values{"Action": {"PutMetricData"}, "Namespace": {"AWS/ECS"}})
	if status != http.StatusBadRequest || !strings.Contains(body, "<Code>InvalidParameterValue</Code>") {
		t.Errorf("%d %s", status, body)
	}
}

// query signs and sends a form.
func (s *stand) query(form url.Values) (int, string) {
	s.t.Helper()
	form.Set("Version", "2010-08-01")
	body := form.Encode()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+"/", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	sum := sha256.Sum256([]byte(body))
	key := aws.Credentials{AccessKeyID: s.keys.AccessKeyID, SecretAccessKey: s.keys.Secret}
	if err := v4.NewSigner().SignHTTP(s.t.Context(), key, r, hex.EncodeToString(sum[:]), "monitoring", region, time.Now()); err != nil {
		s.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}
