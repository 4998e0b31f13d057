package awsapi

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

type everyKind struct {
	Text   *string
	Truth  bool
	Number *int32
	Ratio  *float64
	At     *time.Time
	Raw    []byte
	List   []everyKind
	Names  []string
	Map    map[string]everyKind
}

// FuzzForm feeds the decoder of the query protocol: it gives a value or a
// *DecodeError, and what it gives has a form in XML.
func FuzzForm(f *testing.F) {
	for _, seed := range []string{
		"Text=a&Truth=true&Number=1&Ratio=1e3&At=2026-03-01T12:00:00Z&Raw=AA==",
		"List.member.1.Text=a&List.member.2.List.member.1.Number=2", "List.1.Text=a&List.1.Map.1.key=b",
		"Map.entry.1.key=k&Map.entry.1.value.Text=v", "Map.entry.1.key=k&Map.entry.2.key=k", "Names=&Names.member=1",
		"Names.member.18446744073709551616=a", "Names.member.-1=a", "Names.member.01=a", "Number=1e400", "Ratio=NaN", "At=0", "..=", "=", "Text.a=1&Text=2",
		strings.Repeat(".", 33), strings.Repeat("Text.", 33),
		"Attribute.1.Name=a&Attribute.1.Value=b&Tag.Key=a&Tag.Value=b", "SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.BinaryListValue.1=!",
	} {
		f.Add(seed)
	}
	own, ec2, fromSchema := NewCodec(nil), NewEC2Codec(), NewCodec(nil)
	f.Fuzz(func(t *testing.T, raw string) {
		form, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		for _, c := range []struct {
			*Codec
			into any
		}{{own, &everyKind{}}, {ec2, &everyKind{}}, {fromSchema, &sqs.SendMessageBatchInput{}}, {fromSchema, &sqs.CreateQueueInput{}}} {
			_, err := c.decodeForm(form, c.into)
			var known *DecodeError
			if err != nil {
				if !errors.As(err, &known) {
					t.Errorf("%q: %T %v", raw, err, err)
				}
				continue
			}
			var b bytes.Buffer
			if err := c.writeXML(&b, nil, reflect.ValueOf(c.into)); err != nil {
				t.Fatalf("%q: %v", raw, err)
			}
			for d := xml.NewDecoder(&b); ; {
				if _, err := d.Token(); err == io.EOF {
					break
				} else if err != nil {
					t.Fatalf("%q: %v", raw, err)
				}
			}
		}
	})
}

// FuzzJSON feeds the decoder of the JSON protocols.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		`{"Text":"a","Truth":true,"Number":1.0,"Ratio":1,"At":1.5,"Raw":"AA=="}`, `{"List":[{"List":[]}],"Map":{"a":{}}}`,
		`[]`, `{`, `{}{}`, `{"List":[null]}`, `{"At":1e300}`, `{"Number":9223372036854775808}`, "\x00", `{"Text":"\ud800"}`,
	} {
		f.Add(seed)
	}
	c := NewCodec(nil)
	f.Fuzz(func(t *testing.T, raw string) {
		var v, again everyKind
		err := c.Decode([]byte(raw), &v)
		var known *DecodeError
		if err != nil {
			if !errors.As(err, &known) {
				t.Errorf("%q: %T %v", raw, err, err)
			}
			return
		}
		written, err := c.Encode(&v)
		if err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		if err := c.Decode(written, &again); err != nil {
			t.Errorf("%q was written as %s, which is refused: %v", raw, written, err)
		}
	})
}
