package awsapi

import (
	"errors"
	"reflect"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
)

// FuzzCBOR feeds the decoder: it gives a value or a *DecodeError, and what it gives
// is written and read again as the same.
func FuzzCBOR(f *testing.F) {
	for _, seed := range []string{
		"", "\xa0", "\x80", "\xa1\x69Namespace\x61a", "\xa1\x61a\xc1\xfb\x7f\xf8\x00\x00\x00\x00\x00\x00", "\xbf\xff", "\xa1\x61a\xf7",
		"\xa1\x6aMetricData\x81\xa2\x65Value\xfb\x7f\xf0\x00\x00\x00\x00\x00\x00\x69Timestamp\xc1\x1a\x00\x00\x00\x01",
		"\xa1\x61a\x1b\xff\xff\xff\xff\xff\xff\xff\xff", "\xa1\x61a\xc2\x41\x01", "\xa1\x01\x02", "\xa1\x61a\x42\x00\x01",
	} {
		f.Add([]byte(seed))
	}
	codec := NewCodec(nil)
	f.Fuzz(func(t *testing.T, body []byte) {
		req := &request{body: body, service: &Service{Codec: codec}}
		var first, second cloudwatch.PutMetricDataInput
		tree, err := parseCBOR(body)
		if err == nil {
			err = codec.assign(reflect.ValueOf(&first).Elem(), tree, "")
		}
		if err != nil {
			var known *DecodeError
			if !errors.As(err, &known) {
				t.Fatalf("%q: %T %v", body, err, err)
			}
			return
		}
		out, err := codec.toCBOR(reflect.ValueOf(&first))
		if err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		if req.body, err = cborEncoding.Marshal(out); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		if err := (cborProtocol{}).decode(req, &Call{}, &second); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		again, err := codec.toCBOR(reflect.ValueOf(&second))
		if err != nil {
			t.Fatal(err)
		}
		text, err := cborEncoding.Marshal(again)
		if err != nil || string(text) != string(req.body) {
			t.Fatalf("not stable: %v\n%q\n%q", err, req.body, text)
		}
	})
}
