package awsapi_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"pgregory.net/rapid"

	"plimsoll/engine/awsapi"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var testKeys = awsapi.Keys{AccessKeyID: "AKIDEXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", Account: account}

// stand is the endpoint as a plain handler, for requests that are signed, and
// spoilt, by hand.
func stand(t testing.TB) http.Handler {
	t.Helper()
	api, err := awsapi.New(awsapi.Options{
		Region: region, Credentials: testKeys, Now: func() time.Time { return noon },
	}, awsapi.STS(), &awsapi.Service{
		Name: "ecs", Target: "Echo", JSONVersion: "1.1", Codec: awsapi.NewCodec(nil),
		Operations: []awsapi.Operation{awsapi.Op("Say", func(_ context.Context, call *awsapi.Call, in *said) (*said, error) {
			return &said{Text: in.Text + " from " + call.ARN}, nil
		})},
	})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

type said struct{ Text string }

const hello = `{"Text":"hello"}`

// signing is a request to be signed, and what is wrong with it.
type signing struct {
	keys            aws.Credentials
	at              time.Time
	region, service string
	target, body    string
	path            string
	header          http.Header
	before, after   func(*http.Request) // after: when it has been signed
	presign         bool
	expires         string
}

func validSigning() signing {
	return signing{
		keys: aws.Credentials{AccessKeyID: testKeys.AccessKeyID, SecretAccessKey: testKeys.Secret},
		at:   noon, region: region, service: "ecs", target: "Echo.Say", body: hello, path: "/",
		header: http.Header{}, before: func(*http.Request) {}, after: func(*http.Request) {},
	}
}

func (s signing) request(t testing.TB) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://localhost:4580"+s.path, strings.NewReader(s.body))
	for name, values := range s.header {
		r.Header[name] = values
	}
	if s.target != "" {
		r.Header.Set("X-Amz-Target", s.target)
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	}
	s.before(r)
	sum := sha256.Sum256([]byte(s.body))
	hash := hex.EncodeToString(sum[:])
	signer := v4.NewSigner()
	if !s.presign {
		if err := signer.SignHTTP(context.Background(), s.keys, r, hash, s.service, s.region, s.at); err != nil {
			t.Fatal(err)
		}
		s.after(r)
		return r
	}
	if s.expires != "" {
		query := r.URL.Query()
		query.Set("X-Amz-Expires", s.expires)
		r.URL.RawQuery = query.Encode()
	}
	url, signed, err := signer.PresignHTTP(context.Background(), s.keys, r, hash, s.service, s.region, s.at)
	if err != nil {
		t.Fatal(err)
	}
	presigned := httptest.NewRequest(http.MethodPost, url, strings.NewReader(s.body))
	for name, values := range signed {
		presigned.Header[name] = values
	}
	s.after(presigned)
	return presigned
}

type refusal struct {
	Type    string `json:"__type"`
	Message string `json:"message"`
}

func ask(t testing.TB, h http.Handler, r *http.Request) (status int, body string, e refusal) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Header().Get("x-amzn-RequestId") == "" {
		t.Error("the answer has no request id")
	}
	if w.Code != http.StatusOK && strings.HasPrefix(w.Header().Get("Content-Type"), "application/x-amz-json") {
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
			t.Errorf("the error is not JSON: %v: %s", err, w.Body)
		}
		if w.Header().Get("x-amzn-errortype") != e.Type {
			t.Errorf("x-amzn-errortype is %q, __type %q", w.Header().Get("x-amzn-errortype"), e.Type)
		}
	}
	return w.Code, w.Body.String(), e
}

func TestAWellSignedRequestIsServed(t *testing.T) {
	h := stand(t)
	for name, s := range map[string]func(*signing){
		"plain":                func(*signing) {},
		"a query to be sorted": func(s *signing) { s.path = "/?b=2&a=1&a-b=x+y&%C3%A9=%2F&empty" },
		"a path to be encoded": func(s *signing) { s.path = "/123456789012/a%20b/%C3%A9+c" },
		"spaces in a header":   func(s *signing) { s.header.Set("X-Amz-Meta", "  a   b  ") },
		"two values":           func(s *signing) { s.header["X-Amz-Meta"] = []string{"b", "a"} },
		"4 minutes late":       func(s *signing) { s.at = noon.Add(-4 * time.Minute) },
		"4 minutes early":      func(s *signing) { s.at = noon.Add(4 * time.Minute) },
		"an empty body":        func(s *signing) { s.body = "" },
		"a stated payload hash": func(s *signing) {
			s.before = func(r *http.Request) {
				sum := sha256.Sum256([]byte(s.body))
				r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
			}
		},
		"presigned":            func(s *signing) { s.presign = true },
		"presigned for a week": func(s *signing) { s.presign, s.expires, s.at = true, "604800", noon.Add(-6*24*time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			signed := validSigning()
			s(&signed)
			if status, body, _ := ask(t, h, signed.request(t)); status != http.StatusOK || !strings.Contains(body, ":root") {
				t.Errorf("%d: %s", status, body)
			}
		})
	}
}

func TestARequestThatIsNotWellSignedIsRefused(t *testing.T) {
	h := stand(t)
	header := func(name, value string) func(*signing) {
		return func(s *signing) { s.after = func(r *http.Request) { r.Header.Set(name, value) } }
	}
	inAuthorization := func(from, to string) func(*signing) {
		return func(s *signing) {
			s.after = func(r *http.Request) {
				changed := strings.Replace(r.Header.Get("Authorization"), from, to, 1)
				if changed == r.Header.Get("Authorization") {
					t.Fatalf("%q is not in %q", from, changed)
				}
				r.Header.Set("Authorization", changed)
			}
		}
	}
	const (
		missing      = "MissingAuthenticationTokenException"
		incomplete   = "IncompleteSignatureException"
		invalid      = "InvalidSignatureException"
		unrecognized = "UnrecognizedClientException"
	)
	for name, test := range map[string]struct {
		spoil func(*signing)
		code  string
	}{
		"unsigned":                {func(s *signing) { s.after = func(r *http.Request) { r.Header.Del("Authorization") } }, missing},
		"basic authentication":    {header("Authorization", "Basic YTpi"), incomplete},
		"no signature":            {header("Authorization", "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=host"), incomplete},
		"a short credential":      {inAuthorization("/aws4_request", ""), incomplete},
		"another terminator":      {inAuthorization("aws4_request", "aws5_request"), incomplete},
		"a key that is unknown":   {func(s *signing) { s.keys.AccessKeyID = "AKIDOTHER" }, unrecognized},
		"another secret":          {func(s *signing) { s.keys.SecretAccessKey = "other" }, invalid},
		"a token never issued":    {func(s *signing) { s.keys.SessionToken = "token" }, unrecognized},
		"another body":            {func(s *signing) { s.after = func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`{}`)) } }, invalid},
		"another target":          {header("X-Amz-Target", "Echo.Shout"), invalid},
		"another date":            {header("X-Amz-Date", "20260301T120001Z"), invalid},
		"no date":                 {func(s *signing) { s.after = func(r *http.Request) { r.Header.Del("X-Amz-Date") } }, incomplete},
		"a date of another form":  {header("X-Amz-Date", "yesterday"), incomplete},
		"another host":            {func(s *signing) { s.after = func(r *http.Request) { r.Host = "localhost:1" } }, invalid},
		"another path":            {func(s *signing) { s.after = func(r *http.Request) { r.URL.Path = "/x" } }, invalid},
		"another query":           {func(s *signing) { s.after = func(r *http.Request) { r.URL.RawQuery = "x=1" } }, invalid},
		"a query that is not one": {func(s *signing) { s.after = func(r *http.Request) { r.URL.RawQuery = "%zz=1" } }, incomplete},
		"another method":          {func(s *signing) { s.after = func(r *http.Request) { r.Method = http.MethodPut } }, invalid},
		"an unsigned amz header":  {header("X-Amz-Extra", "1"), invalid},
		"host unsigned":           {inAuthorization("host;", ""), invalid},
		"another signature":       {inAuthorization("Signature=", "Signature=0"), invalid},
		"two authorizations":      {func(s *signing) { s.after = func(r *http.Request) { r.Header.Add("Authorization", "x") } }, incomplete},
		"6 minutes late":          {func(s *signing) { s.at = noon.Add(-6 * time.Minute) }, invalid},
		"6 minutes early":         {func(s *signing) { s.at = noon.Add(6 * time.Minute) }, invalid},
		"a scope of another day":  {inAuthorization("/20260301/", "/20260302/"), invalid},
		"another region":          {func(s *signing) { s.region = "eu-west-1" }, invalid},
		"another service":         {func(s *signing) { s.service = "sqs" }, invalid},
		"an unsigned payload": {func(s *signing) {
			s.before = func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD") }
		}, invalid},
		"a streamed payload": {func(s *signing) {
			s.before = func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD") }
		}, invalid},
		"presigned, unsigned payload": {func(s *signing) {
			s.presign, s.path = true, "/?X-Amz-Content-Sha256=UNSIGNED-PAYLOAD"
		}, invalid},
		"presigned and expired":     {func(s *signing) { s.presign, s.expires, s.at = true, "60", noon.Add(-61*time.Second) }, "RequestExpired"},
		"presigned for the future":  {func(s *signing) { s.presign, s.at = true, noon.Add(16*time.Minute) }, invalid},
		"presigned for over a week": {func(s *signing) { s.presign, s.expires = true, "604801" }, incomplete},
		"presigned, another body": {func(s *signing) {
			s.presign = true
			s.after = func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`{}`)) }
		}, invalid},
		"presigned, a longer life": {func(s *signing) {
			s.presign, s.expires = true, "60"
			s.after = func(r *http.Request) { r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "Expires=60", "Expires=90", 1) }
		}, invalid},
		"signed in both ways": {func(s *signing) {
			s.presign = true
			s.after = func(r *http.Request) { r.Header.Set("Authorization", "x") }
		}, incomplete},
	} {
		t.Run(name, func(t *testing.T) {
			signed := validSigning()
			test.spoil(&signed)
			status, body, e := ask(t, h, signed.request(t))
			if status != http.StatusBadRequest || e.Type != test.code || e.Message == "" {
				t.Errorf("got %d %s, want %s", status, body, test.code)
			}
		})
	}
}

func TestAnotherRegionIsToldWhichOneToUse(t *testing.T) {
	s := validSigning()
	s.region = "eu-west-1"
	if _, _, e := ask(t, stand(t), s.request(t)); !strings.Contains(e.Message, "set AWS_REGION=us-east-1") {
		t.Error(e.Message)
	}
}

func TestNoChangeOfASignedByteIsServed(t *testing.T) {
	h := stand(t)
	rapid.Check(t, func(rt *rapid.T) {
		r := validSigning().request(t)
		field := rapid.SampledFrom([]string{"Authorization", "X-Amz-Date", "X-Amz-Target", "body"}).Draw(rt, "field")
		value := hello
		if field != "body" {
			value = r.Header.Get(field)
		}
		at := rapid.IntRange(0, len(value)-1).Draw(rt, "at")
		to := rapid.ByteRange('!', '~').Draw(rt, "to")
		if value[at] == to {
			return
		}
		changed := value[:at] + string(to) + value[at+1:]
		if field == "body" {
			r.Body = io.NopCloser(strings.NewReader(changed))
		} else {
			r.Header.Set(field, changed)
		}
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code == http.StatusOK {
			rt.Fatalf("served with %s changed to %q", field, changed)
		}
	})
}

func TestUnknownOperationsAreNamed(t *testing.T) {
	h := stand(t)
	for target, want := range map[string]string{
		"Echo.Shout":       "The action Shout is not one that this endpoint has for ecs.",
		"Logs_20140328.Go": "This endpoint does not serve 'Logs_20140328.Go' of the service 'ecs'. It serves: sts, ecs.",
		"nodot":            "This endpoint does not serve 'nodot' of the service 'ecs'. It serves: sts, ecs.",
	} {
		s := validSigning()
		s.target = target
		status, _, e := ask(t, h, s.request(t))
		if status != http.StatusBadRequest || e.Type != "UnknownOperationException" || e.Message != want {
			t.Errorf("%s: %d %+v", target, status, e)
		}
	}
}

func TestABodyThatIsTooLargeIsRefusedUnread(t *testing.T) {
	api, err := awsapi.New(awsapi.Options{Region: region, Credentials: testKeys, MaxBody: 10}, awsapi.STS())
	if err != nil {
		t.Fatal(err)
	}
	status, _, e := ask(t, api, validSigning().request(t))
	if status != http.StatusRequestEntityTooLarge || e.Type != "RequestEntityTooLargeException" {
		t.Errorf("got %d %+v", status, e)
	}
}

func TestTheQueryProtocolAnswersInXML(t *testing.T) {
	h := stand(t)
	form := func(body string) signing {
		s := validSigning()
		s.service, s.target, s.body = "sts", "", body
		s.header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		return s
	}
	wrong := form("Action=GetCallerIdentity&Version=2011-06-15")
	wrong.keys.SecretAccessKey = "other"
	unknown := form("Action=GetCallerIdentity&Version=2011-06-15")
	unknown.keys.AccessKeyID = "AKIDOTHER"
	for name, test := range map[string]struct {
		s      signing
		status int
		code   string
	}{
		"wrong secret":     {wrong, http.StatusForbidden, "SignatureDoesNotMatch"},
		"unknown key":      {unknown, http.StatusForbidden, "InvalidClientTokenId"},
		"no action":        {form("Version=2011-06-15"), http.StatusBadRequest, "MissingAction"},
		"unknown action":   {form("Action=AssumeRole&Version=2011-06-15"), http.StatusBadRequest, "InvalidAction"},
		"unknown version":  {form("Action=GetCallerIdentity&Version=1999-01-01"), http.StatusBadRequest, "InvalidAction"},
		"parameter twice":  {form("Action=GetCallerIdentity&Version=2011-06-15&A=1&A=2"), http.StatusBadRequest, "MalformedInput"},
		"value and a tree": {form("Action=GetCallerIdentity&Version=2011-06-15&A=1&A.b=2"), http.StatusBadRequest, "MalformedInput"},
	} {
		t.Run(name, func(t *testing.T) {
			status, body, _ := ask(t, h, test.s.request(t))
			var answer struct {
				XMLName xml.Name `xml:"ErrorResponse"`
				Type    string   `xml:"Error>Type"`
				Code    string   `xml:"Error>Code"`
				Message string   `xml:"Error>Message"`
				ID      string   `xml:"RequestId"`
			}
			if err := xml.Unmarshal([]byte(body), &answer); err != nil {
				t.Fatal(err, body)
			}
			if status != test.status || answer.Code != test.code || answer.Type != "Sender" || answer.Message == "" || answer.ID == "" {
				t.Errorf("got %d %s", status, body)
			}
		})
	}
}

func TestSTSTellsTheCallerWhoItIs(t *testing.T) {
	e := newEndpoint(t)
	got, err := e.sts().GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	if *got.Account != account || *got.Arn != "arn:aws:iam::"+account+":root" || *got.UserId != account {
		t.Errorf("got %+v", got)
	}
	presigned, err := sts.NewPresignClient(e.sts()).PresignGetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.Get(presigned.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusOK || !strings.Contains(string(body), ":root") {
		t.Errorf("presigned: %d %s", answer.StatusCode, body)
	}
}

func TestTemporaryCredentialsNameTheirTask(t *testing.T) {
	e := newEndpoint(t)
	call := func(i awsapi.Issued) (*sts.GetCallerIdentityOutput, error) {
		c := e.config()
		c.Credentials = credentials.NewStaticCredentialsProvider(i.AccessKeyID, i.SecretAccessKey, i.Token)
		return sts.NewFromConfig(c).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	}
	issued := e.keys.Issue("task-1", "arn:aws:iam::123456789012:role/work/reader", time.Now().Add(time.Hour))
	got, err := call(issued)
	if err != nil {
		t.Fatal(err)
	}
	if *got.Arn != "arn:aws:sts::123456789012:assumed-role/reader/task-1" || !strings.HasSuffix(*got.UserId, ":task-1") {
		t.Errorf("got %s %s", *got.Arn, *got.UserId)
	}
	other := e.keys.Issue("task-2", issued.RoleARN, issued.Expires)
	mixed, tokenless := issued, issued
	mixed.Token, tokenless.Token = other.Token, ""
	past := e.keys.Issue("task-1", issued.RoleARN, time.Now().Add(-time.Minute))
	for name, test := range map[string]struct {
		issued awsapi.Issued
		code   string
	}{
		"another's token": {mixed, "InvalidClientTokenId"},
		"no token":        {tokenless, "InvalidClientTokenId"},
		"expired":         {past, "ExpiredToken"},
	} {
		var refused smithy.APIError
		if _, err := call(test.issued); !errors.As(err, &refused) || refused.ErrorCode() != test.code {
			t.Errorf("%s: got %v, want %s", name, err, test.code)
		}
	}
}

func TestAnEndpointIsNotMadeWithoutRegionOrCredentials(t *testing.T) {
	for _, o := range []awsapi.Options{{}, {Region: region}, {Credentials: testKeys}} {
		if _, err := awsapi.New(o); err == nil {
			t.Errorf("made with %+v", o)
		}
	}
	if _, err := awsapi.New(awsapi.Options{Region: region, Credentials: testKeys}, &awsapi.Service{Target: "A"}, &awsapi.Service{Target: "A"}); err == nil {
		t.Error("made with two services of one target")
	}
}
