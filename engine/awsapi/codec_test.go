package awsapi_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	"plimsoll/engine/awsapi"
)

// wire is an HTTP client without a network: it keeps the request's body and
// answers with a body that the test has set.
type wire struct{ sent, answer []byte }

func (w *wire) Do(r *http.Request) (*http.Response, error) {
	w.sent, _ = io.ReadAll(r.Body)
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(w.answer)),
	}, nil
}

func clientsOver(w *wire) []any {
	c := aws.Config{
		Region: region, HTTPClient: w, Credentials: credentials.NewStaticCredentialsProvider("k", "s", ""),
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}
	return []any{ecs.NewFromConfig(c), sqs.NewFromConfig(c, func(o *sqs.Options) { o.DisableMessageChecksumValidation = true })}
}

// eachOperation calls f for each operation of the SDK's clients that the engine
// may have: its name, its method and its input type.
func eachOperation(w *wire, f func(name string, method reflect.Value, in, out reflect.Type)) {
	for _, client := range clientsOver(w) {
		v := reflect.ValueOf(client)
		for i := range v.NumMethod() {
			method := v.Method(i)
			t := method.Type()
			if strings.Contains(v.Type().Method(i).Name, "Gateway") {
				continue // their required members are unions, which are kept undecoded
			}
			if t.NumIn() != 3 || t.NumOut() != 2 || t.In(1).Kind() != reflect.Pointer {
				continue
			}
			f(v.Type().Method(i).Name, method, t.In(1).Elem(), t.Out(0).Elem())
		}
	}
}

// fill gives every member that the codec carries a value, to a depth.
func fill(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth)
	case reflect.String:
		v.SetString("tëxt \"\\\n<&>\u2028 " + v.Type().Name())
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int32, reflect.Int64:
		v.SetInt(7)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(1.5)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte{0, 1, 255})
			return
		}
		if depth > 0 && v.Type().Elem().Kind() != reflect.Interface {
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
			fill(v.Index(0), depth-1)
			fill(v.Index(1), depth-1)
		}
	case reflect.Map:
		if depth > 0 {
			item := reflect.New(v.Type().Elem()).Elem()
			fill(item, depth-1)
			v.Set(reflect.MakeMap(v.Type()))
			v.SetMapIndex(reflect.ValueOf("key").Convert(v.Type().Key()), item)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.UnixMilli(1700000000123).UTC()))
			return
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Name != "ResultMetadata" && f.Type.Kind() != reflect.Interface {
				fill(v.Field(i), depth)
			}
		}
	}
}

func sameShape(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmp.Exporter(func(reflect.Type) bool { return true }),
		cmp.FilterPath(func(p cmp.Path) bool {
			return strings.HasSuffix(p.String(), "ResultMetadata")
		}, cmp.Ignore())); diff != "" {
		t.Errorf("%s: (-sent +decoded)\n%s", what, diff)
	}
}

func TestEveryInputThatAClientSendsIsDecodedWhole(t *testing.T) {
	w := &wire{answer: []byte("{}")}
	codec := awsapi.NewCodec(&ecstypes.UnknownUnionMember{})
	seen := 0
	eachOperation(w, func(name string, method reflect.Value, in, _ reflect.Type) {
		sent := reflect.New(in)
		fill(sent.Elem(), 4)
		if out := method.Call([]reflect.Value{reflect.ValueOf(context.Background()), sent}); !out[1].IsNil() {
			t.Fatalf("%s: %v", name, out[1])
		}
		got := reflect.New(in)
		if err := codec.Decode(w.sent, got.Interface()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		sameShape(t, name, sent.Interface(), got.Interface())
		seen++
	})
	if seen < 80 {
		t.Errorf("only %d operations were found in the SDK's clients", seen)
	}
}

func TestEveryOutputIsReadWholeByAClient(t *testing.T) {
	w := &wire{}
	codec := awsapi.NewCodec(nil)
	eachOperation(w, func(name string, method reflect.Value, in, out reflect.Type) {
		written := reflect.New(out)
		fill(written.Elem(), 4)
		body, err := codec.Encode(written.Interface())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		w.answer = body
		sent := reflect.New(in)
		fill(sent.Elem(), 2)
		got := method.Call([]reflect.Value{reflect.ValueOf(context.Background()), sent})
		if !got[1].IsNil() {
			t.Fatalf("%s: %v", name, got[1])
		}
		sameShape(t, name, written.Interface(), got[0].Interface())
	})
}

func TestZerosWithoutAPointerAndEmptyListsAreWrittenAndNilIsNot(t *testing.T) {
	got, err := awsapi.NewCodec(nil).Encode(&ecs.DescribeServicesOutput{
		Failures: []ecstypes.Failure{},
		Services: []ecstypes.Service{{ServiceName: aws.String("web"), CreatedAt: aws.Time(time.UnixMilli(1500))}},
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"failures":[],"services":[{"createdAt":1.5,"desiredCount":0,"enableECSManagedTags":false,` +
		`"enableExecuteCommand":false,"pendingCount":0,"runningCount":0,"serviceName":"web"}]}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAValueOfTheWrongKindIsRefusedByItsPath(t *testing.T) {
	for body, want := range map[string]string{
		`{"containerDefinitions":[{"name":"a"},{"cpu":"many"}]}`:  "containerDefinitions[1].cpu: STRING_VALUE can not be converted to an Integer",
		`{"containerDefinitions":{}}`:                             "containerDefinitions: START_OBJECT can not be converted to a list",
		`{"family":7}`:                                            "family: NUMBER_VALUE can not be converted to a String",
		`{"containerDefinitions":[{"essential":"true"}]}`:         "containerDefinitions[0].essential: STRING_VALUE can not be converted to a Boolean",
		`{"containerDefinitions":[{"cpu":1.5}]}`:                  "containerDefinitions[0].cpu: 1.5 can not be converted to an Integer",
		`{"containerDefinitions":[{"memory":3000000000}]}`:        "containerDefinitions[0].memory: 3000000000 is out of range for an Integer",
		`{"containerDefinitions":[null]}`:                         "containerDefinitions[0]: NULL_VALUE can not be converted to an item of a list",
		`{"containerDefinitions":[{"dockerLabels":{"a":["x"]}}]}`: "containerDefinitions[0].dockerLabels.a: START_ARRAY can not be converted to a String",
		`[]`:            "START_ARRAY can not be converted to a structure",
		`{"family":"a"`: "the body is not JSON: unexpected EOF",
		`{} {}`:         "the body goes on after the JSON value",
	} {
		err := awsapi.NewCodec(nil).Decode([]byte(body), &ecs.RegisterTaskDefinitionInput{})
		var refusal *awsapi.DecodeError
		if !errors.As(err, &refusal) || err.Error() != want {
			t.Errorf("%s: got %v, want %s", body, err, want)
		}
	}
}

func TestUnknownMembersAndNullsAreLeftOut(t *testing.T) {
	var in ecs.RunTaskInput
	err := awsapi.NewCodec(nil).Decode([]byte(`{"taskDefinition":"a","inventedLater":{"x":[1]},"group":null,"count":2.0}`), &in)
	if err != nil || *in.TaskDefinition != "a" || in.Group != nil || *in.Count != 2 {
		t.Errorf("got %+v, %v", in, err)
	}
}

func TestAUnionIsKeptAsItCame(t *testing.T) {
	codec := awsapi.NewCodec(&ecstypes.UnknownUnionMember{})
	const body = `{"containerDefinitions":[{"cpu":0,"resourceRequirements":[{"type":"GPU","sharingStrategy":{"nvidiaMps":{"memory":5}}}]}]}`
	var in ecs.RegisterTaskDefinitionInput
	if err := codec.Decode([]byte(body), &in); err != nil {
		t.Fatal(err)
	}
	back, err := codec.Encode(&in)
	if err != nil || string(back) != body {
		t.Errorf("got  %s, %v\nwant %s", back, err, body)
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"family":"web","containerDefinitions":[{"name":"a","cpu":1e2,"environment":[{"name":"a","value":"\u0000"}]}]}`,
		`{"containerDefinitions":[{"resourceRequirements":[{"sharingStrategy":{"nvidiaMps":{"memory":5}}}]}]}`,
		`{"containerDefinitions":[[[[[[`, `{"cpu":1e999}`, `{"a":{"a":{"a":null}}}`, "", "null", `{"family":"\ud800"}`,
	} {
		f.Add([]byte(seed))
	}
	codec := awsapi.NewCodec(&ecstypes.UnknownUnionMember{})
	f.Fuzz(func(t *testing.T, body []byte) {
		var first, second ecs.RegisterTaskDefinitionInput
		if codec.Decode(body, &first) != nil {
			return
		}
		written, err := codec.Encode(&first)
		if err != nil {
			t.Fatalf("decoded, and cannot be encoded: %v", err)
		}
		if err := codec.Decode(written, &second); err != nil {
			t.Fatalf("%s: %v", written, err)
		}
		again, err := codec.Encode(&second)
		if err != nil || !bytes.Equal(written, again) {
			t.Fatalf("not stable: %v\n%s\n%s", err, written, again)
		}
	})
}
