package awsapi_test

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"plimsoll/engine/awsapi"
)

// query sends a request of the query protocol, as the clients do that are older
// than SQS's JSON, and gives the answer's status and XML.
func (e *endpoint) query(t *testing.T, path, form string) (int, string) {
	t.Helper()
	s := validSigning()
	s.keys = aws.Credentials{AccessKeyID: e.keys.AccessKeyID, SecretAccessKey: e.keys.Secret}
	s.service, s.target, s.body, s.at, s.path = "sqs", "", form+"&Version=2012-11-05", time.Now(), path
	s.header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	s.before = func(r *http.Request) { r.Host = strings.TrimPrefix(e.url, "http://") }
	r := s.request(t)
	r.RequestURI, r.URL.Scheme, r.URL.Host = "", "http", r.Host
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

func TestSQSSpeaksTheQueryProtocolToOlderClients(t *testing.T) {
	e := newEndpoint(t)
	ask := func(path, form string) (answer struct {
		XMLName  xml.Name
		URL      string   `xml:"CreateQueueResult>QueueUrl"`
		URLs     []string `xml:"ListQueuesResult>QueueUrl"`
		Sent     []string `xml:"SendMessageBatchResult>SendMessageBatchResultEntry>Id"`
		Failed   []string `xml:"SendMessageBatchResult>BatchResultErrorEntry>Code"`
		Messages []struct {
			Body, ReceiptHandle string
			Attribute           []struct{ Name, Value string }
			MessageAttribute    []struct {
				Name, Type, Text string
				Value            struct{ StringValue, DataType string }
			}
		} `xml:"ReceiveMessageResult>Message"`
		Attributes []struct{ Name, Value string } `xml:"GetQueueAttributesResult>Attribute"`
		ID         string                         `xml:"ResponseMetadata>RequestId"`
	}) {
		t.Helper()
		status, body := e.query(t, path, form)
		if err := xml.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusOK || answer.ID == "" {
			t.Fatalf("%s: %d %s", form, status, body)
		}
		return answer
	}
	made := ask("/", "Action=CreateQueue&QueueName=old&Attribute.1.Name=VisibilityTimeout&Attribute.1.Value=7"+
		"&Attribute.2.Name=DelaySeconds&Attribute.2.Value=0&Tag.1.Key=team&Tag.1.Value=red")
	if !strings.HasSuffix(made.URL, "/"+account+"/old") || made.XMLName.Space != "http://queue.amazonaws.com/doc/2012-11-05/" {
		t.Fatalf("created %+v", made)
	}
	u, err := url.Parse(made.URL)
	if err != nil {
		t.Fatal(err)
	}
	// The queue is the path, the parameter, or both.
	sent := ask(u.Path, "Action=SendMessageBatch"+
		"&SendMessageBatchRequestEntry.1.Id=a&SendMessageBatchRequestEntry.1.MessageBody=one+%3C%26%3E"+
		"&SendMessageBatchRequestEntry.1.MessageAttribute.1.Name=colour"+
		"&SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.StringValue=red"+
		"&SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.DataType=String"+
		"&SendMessageBatchRequestEntry.3.Id=b&SendMessageBatchRequestEntry.3.MessageBody=two"+
		"&SendMessageBatchRequestEntry.10.Id=c&SendMessageBatchRequestEntry.10.MessageBody=")
	if !slices.Equal(sent.Sent, []string{"a", "b"}) || len(sent.Failed) != 1 {
		t.Errorf("sent %v, failed %v", sent.Sent, sent.Failed)
	}
	got := ask("/", "Action=ReceiveMessage&MaxNumberOfMessages=10&AttributeName.1=SentTimestamp&MessageAttributeName.1=All&QueueUrl="+url.QueryEscape(made.URL))
	if len(got.Messages) != 2 || got.Messages[0].Body != "one <&>" || got.Messages[0].Attribute[0].Name != "SentTimestamp" {
		t.Fatalf("received %+v", got.Messages)
	}
	if a := got.Messages[0].MessageAttribute; len(a) != 1 || a[0].Name != "colour" || a[0].Value.StringValue != "red" || a[0].Value.DataType != "String" {
		t.Errorf("attributes %+v", a)
	}
	ask(u.Path, "Action=DeleteMessage&ReceiptHandle="+url.QueryEscape(got.Messages[0].ReceiptHandle))
	// A list or a map of one may be without its number.
	ask(u.Path, "Action=SetQueueAttributes&Attribute.Name=VisibilityTimeout&Attribute.Value=9")
	if a := ask(u.Path, "Action=GetQueueAttributes&AttributeName=VisibilityTimeout").Attributes; len(a) != 1 || a[0].Value != "9" {
		t.Errorf("attributes %+v", a)
	}
	if l := ask("/", "Action=ListQueues"); !slices.Equal(l.URLs, []string{made.URL}) {
		t.Errorf("listed %v", l.URLs)
	}
	// Both protocols see the same queue.
	out, err := e.sqs().GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &made.URL, AttributeNames: []types.QueueAttributeName{"All"}})
	if err != nil || out.Attributes["ApproximateNumberOfMessagesNotVisible"] != "1" {
		t.Errorf("by JSON: %v %v", out, err)
	}
}

func TestSQSsErrorsHaveTheirOldNamesInTheQueryProtocol(t *testing.T) {
	e := newEndpoint(t)
	for form, want := range map[string]string{
		"Action=GetQueueUrl&QueueName=none":                   "AWS.SimpleQueueService.NonExistentQueue",
		"Action=Shout":                                        "InvalidAction",
		"Action=CreateQueue&QueueName=q&Attribute.x.Name=a":   "MalformedInput",
		"Action=CreateQueue&QueueName=q&Attribute.1.Value=a":  "MalformedInput",
		"Action=CreateQueue&QueueName.1=q":                    "MalformedInput",
		"Action=ListQueues&MaxResults=many":                   "MalformedInput",
		"Action=ListQueues&MaxResults=0x10":                   "MalformedInput",
		"Action=ListQueues&" + strings.Repeat("a.", 40) + "=": "MalformedInput",
	} {
		status, body := e.query(t, "/", form)
		if status != http.StatusBadRequest || !strings.Contains(body, "<Code>"+want+"</Code>") || !strings.Contains(body, "<Type>Sender</Type>") {
			t.Errorf("%s: %d %s", form, status, body)
		}
	}
}

type shape struct {
	Name    *string
	Truth   bool
	Count   *int64
	Ratio   *float64
	At      *time.Time
	Raw     []byte
	Items   []string
	Nested  []shape
	Sizes   map[string]int32
	Missing *string
}

// echo is a service whose one operation gives back what came in.
func echo(version string, codec *awsapi.Codec) *awsapi.Service {
	return &awsapi.Service{
		Name: "echo", Version: version, Namespace: "urn:echo", Codec: codec,
		Operations: []awsapi.Operation{awsapi.Op("Say", func(_ context.Context, _ *awsapi.Call, in *shape) (*shape, error) {
			return in, nil
		})},
	}
}

func echoed(t *testing.T, codec *awsapi.Codec, form string) string {
	t.Helper()
	api, err := awsapi.New(awsapi.Options{Region: region, Credentials: testKeys, Now: func() time.Time { return noon }}, echo("2020-01-01", codec))
	if err != nil {
		t.Fatal(err)
	}
	s := validSigning()
	s.service, s.target, s.body = "echo", "", "Action=Say&Version=2020-01-01&"+form
	s.header.Set("Content-Type", "application/x-www-form-urlencoded")
	_, body, _ := ask(t, api, s.request(t))
	return body
}

func TestAQueryWithoutTraitsNumbersItsMembers(t *testing.T) {
	got := echoed(t, awsapi.NewCodec(nil), "Name=a%3Cb&Truth=true&Count=7&Ratio=1.5&At=2026-03-01T12:00:00.5Z&Raw=AAE%3D"+
		"&Items.member.2=y&Items.member.1=x&Nested.member.1.Name=in&Nested.member.1.Items=&Sizes.entry.1.key=k&Sizes.entry.1.value=3&Unknown=1")
	want := `<SayResponse xmlns="urn:echo"><SayResult><Name>a&lt;b</Name><Truth>true</Truth><Count>7</Count><Ratio>1.5</Ratio>` +
		`<At>2026-03-01T12:00:00.5Z</At><Raw>AAE=</Raw><Items><member>x</member><member>y</member></Items>` +
		`<Nested><member><Name>in</Name><Truth>false</Truth><Items></Items></member></Nested>` +
		`<Sizes><entry><key>k</key><value>3</value></entry></Sizes></SayResult><ResponseMetadata>`
	if !strings.HasPrefix(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestEC2HasADialectOfItsOwn(t *testing.T) {
	got := echoed(t, awsapi.NewEC2Codec(), "Name=a&Items.1=x&Items.2=y&Nested.1.Items.1=z")
	want := `<name>a</name><truth>false</truth><items><item>x</item><item>y</item></items>` +
		`<nested><item><truth>false</truth><items><item>z</item></items></item></nested></SayResponse>`
	if !strings.HasSuffix(got, want) || !strings.HasPrefix(got, `<SayResponse xmlns="urn:echo"><requestId>`) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := echoed(t, awsapi.NewEC2Codec(), "Shape.1=x"); !strings.HasPrefix(got, `<Response><Errors><Error><Code>UnknownParameter</Code><Message>The parameter Shape is not recognized`) {
		t.Errorf("got %s", got)
	}
}

func TestEC2HasItsOwnNamesForSignaturesThatDoNotHold(t *testing.T) {
	api, err := awsapi.New(awsapi.Options{Region: region, Credentials: testKeys, Now: func() time.Time { return noon }},
		echo("2020-01-01", awsapi.NewEC2Codec()))
	if err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*signing){
		"401 AuthFailure":                func(s *signing) { s.keys.SecretAccessKey = "other" },
		"400 RequestExpired":             func(s *signing) { s.at = noon.Add(-6 * time.Minute) },
		"403 MissingAuthenticationToken": func(s *signing) { s.after = func(r *http.Request) { r.Header.Del("Authorization") } },
	} {
		s := validSigning()
		s.service, s.target, s.body = "echo", "", "Action=Say&Version=2020-01-01"
		s.header.Set("Content-Type", "application/x-www-form-urlencoded")
		spoil(&s)
		status, body, _ := ask(t, api, s.request(t))
		if got := fmt.Sprint(status, " ", body); !strings.HasPrefix(got, want[:3]) || !strings.Contains(got, "<Code>"+want[4:]+"</Code>") {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
