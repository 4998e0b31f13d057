package awsapi_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// environment is what AWS clients need to reach the endpoint.
func (e *endpoint) environment() []string {
	return append(os.Environ(), "AWS_ENDPOINT_URL="+e.url, "AWS_REGION="+region, "AWS_DEFAULT_REGION="+region,
		"AWS_ACCESS_KEY_ID="+e.keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+e.keys.Secret,
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_PAGER=", "AWS_MAX_ATTEMPTS=1")
}

func TestTheAWSCLIUsesAQueue(t *testing.T) {
	path, err := exec.LookPath("aws")
	if err != nil {
		t.Skip("the AWS CLI is not installed: ", err)
	}
	e := newEndpoint(t)
	call := func(into any, args ...string) {
		t.Helper()
		cmd := exec.Command(path, append([]string{"--endpoint-url", e.url, "--output", "json", "sqs"}, args...)...)
		cmd.Env = e.environment()
		var out, errors bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errors
		if err := cmd.Run(); err != nil {
			t.Fatalf("aws sqs %s: %v: %s", strings.Join(args, " "), err, errors.String())
		}
		if into == nil {
			return
		}
		if err := json.Unmarshal(out.Bytes(), into); err != nil {
			t.Fatalf("aws sqs %s: %v: %s", strings.Join(args, " "), err, out.String())
		}
	}
	var made struct{ QueueUrl string }
	call(&made, "create-queue", "--queue-name", "cli.fifo", "--attributes", "FifoQueue=true,ContentBasedDeduplication=true")
	call(nil, "send-message", "--queue-url", made.QueueUrl, "--message-body", "hello", "--message-group-id", "g",
		"--message-attributes", `{"kind":{"DataType":"String","StringValue":"tile"}}`)
	var got struct {
		Messages []struct {
			Body, ReceiptHandle string
			Attributes          map[string]string
			MessageAttributes   map[string]struct{ StringValue string }
		}
	}
	call(&got, "receive-message", "--queue-url", made.QueueUrl, "--wait-time-seconds", "1",
		"--message-attribute-names", "All", "--message-system-attribute-names", "All")
	if len(got.Messages) != 1 || got.Messages[0].Body != "hello" || got.Messages[0].Attributes["MessageGroupId"] != "g" ||
		got.Messages[0].MessageAttributes["kind"].StringValue != "tile" {
		t.Fatalf("%+v", got)
	}
	call(nil, "delete-message", "--queue-url", made.QueueUrl, "--receipt-handle", got.Messages[0].ReceiptHandle)
	var attributes struct{ Attributes map[string]string }
	call(&attributes, "get-queue-attributes", "--queue-url", made.QueueUrl, "--attribute-names", "All")
	if attributes.Attributes["ApproximateNumberOfMessages"] != "0" || attributes.Attributes["FifoQueue"] != "true" {
		t.Errorf("%v", attributes.Attributes)
	}
}

// botoScript uses a queue as a program with boto3 does: boto3 checks the MD5s.
const botoScript = `
import boto3, botocore
sqs = boto3.resource("sqs")
dead = sqs.create_queue(QueueName="dead")
queue = sqs.create_queue(QueueName="boto", Attributes={"VisibilityTimeout": "1", "RedrivePolicy":
    '{"deadLetterTargetArn":"%s","maxReceiveCount":"1"}' % dead.attributes["QueueArn"]}, tags={"team": "red"})
sent = queue.send_messages(Entries=[
    {"Id": str(i), "MessageBody": "body é %d" % i, "MessageAttributes": {"n": {"DataType": "Number", "StringValue": str(i)},
        "raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}}} for i in range(3)] + [{"Id": "bad", "MessageBody": "\x01"}])
assert len(sent["Successful"]) == 3 and sent["Failed"][0]["Id"] == "bad", sent
got = queue.receive_messages(MaxNumberOfMessages=10, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"])
assert sorted(m.body for m in got) == ["body é 0", "body é 1", "body é 2"], got
assert got[0].message_attributes["raw"]["BinaryValue"] == b"\x00\xff", got[0].message_attributes
assert got[0].attributes["ApproximateReceiveCount"] == "1", got[0].attributes
assert "Failed" not in queue.delete_messages(Entries=[{"Id": m.message_id, "ReceiptHandle": m.receipt_handle} for m in got[:2]])
late = dead.receive_messages(WaitTimeSeconds=5)
assert [m.body for m in late] == [got[2].body], late
late[0].delete()
client = boto3.client("sqs")
assert client.list_queue_tags(QueueUrl=queue.url)["Tags"] == {"team": "red"}
try:
    client.receive_message(QueueUrl=queue.url + "x")
    raise SystemExit("a queue that is not there was read")
except client.exceptions.QueueDoesNotExist as e:
    assert e.response["Error"]["Code"] == "AWS.SimpleQueueService.NonExistentQueue", e.response
try:
    late[0].change_visibility(VisibilityTimeout=5)
    raise SystemExit("a deleted message was hidden")
except botocore.exceptions.ClientError as e:
    assert e.response["Error"]["Code"] == "InvalidParameterValue", e.response
`

func TestBoto3UsesAQueue(t *testing.T) {
	path, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed: ", err)
	}
	if out, err := exec.Command(path, "-c", "import boto3").CombinedOutput(); err != nil {
		t.Skipf("python3 has no boto3: %s", out)
	}
	e := newEndpoint(t)
	cmd := exec.Command(path, "-c", botoScript)
	cmd.Env = e.environment()
	cmd.WaitDelay = time.Minute
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
