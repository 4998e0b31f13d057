package awsapi

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"time"
)

// queryProtocol is AWS Query: parameters in a form, answers in XML. EC2's
// dialect of it differs in what is around the answers.
type queryProtocol struct{}

func (queryProtocol) decode(req *request, call *Call, into any) error {
	tree, err := req.service.Codec.decodeForm(req.parameters(), into)
	call.tree = tree
	if err == nil {
		return nil
	}
	e := &Error{Code: "SerializationException", QueryCode: "MalformedInput", Message: err.Error()}
	var known *DecodeError
	if errors.As(err, &known) && known.Code != "" {
		e.QueryCode = known.Code
	}
	return e
}

func (p queryProtocol) write(w http.ResponseWriter, req *request, id string, out any) {
	var b, members bytes.Buffer
	if err := req.service.Codec.writeXML(&members, nil, reflect.ValueOf(out)); err != nil {
		p.writeError(w, req, id, internalFailure(err))
		return
	}
	fmt.Fprintf(&b, `<%sResponse xmlns="%s">`, req.name, req.service.Namespace)
	if req.service.Codec.ec2 {
		fmt.Fprintf(&b, `<requestId>%s</requestId>%s`, id, members.Bytes())
	} else {
		fmt.Fprintf(&b, `<%sResult>%s</%sResult><ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata>`,
			req.name, members.Bytes(), req.name, id)
	}
	fmt.Fprintf(&b, `</%sResponse>`, req.name)
	p.send(w, http.StatusOK, b.Bytes())
}

func (p queryProtocol) writeError(w http.ResponseWriter, req *request, id string, e *Error) {
	namespace := "http://webservices.amazon.com/AWSFault/2005-15-09"
	if req.service != nil && req.service.Namespace != "" {
		namespace = req.service.Namespace
	}
	var b, message bytes.Buffer
	status := e.queryStatus()
	_ = xml.EscapeText(&message, []byte(e.Message)) // a bytes.Buffer takes everything
	if req.service != nil && req.service.Codec.ec2 {
		status = e.ec2Status()
		fmt.Fprintf(&b, `<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>%s</RequestID></Response>`,
			e.ec2Code(), message.Bytes(), id)
	} else {
		fmt.Fprintf(&b, `<ErrorResponse xmlns="%s"><Error><Type>%s</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>%s</RequestId></ErrorResponse>`,
			namespace, e.fault(), e.queryCode(), message.Bytes(), id)
	}
	p.send(w, status, b.Bytes())
}

func (queryProtocol) send(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "text/xml")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has gone away is told nothing
}

// writeXML writes what is inside of a member's element. F is the member; nil
// for the whole answer.
func (c *Codec) writeXML(b *bytes.Buffer, f *field, v reflect.Value) error {
	switch {
	case v.Type() == timeType:
		b.WriteString(v.Interface().(time.Time).UTC().Format("2006-01-02T15:04:05.999Z"))
		return nil
	case v.Kind() == reflect.Pointer:
		return c.writeXML(b, f, v.Elem())
	case v.Kind() == reflect.Struct:
		p := c.planOf(v.Type())
		for i := range p.fields {
			if err := c.member(b, &p.fields[i], v.Field(p.fields[i].index)); err != nil {
				return err
			}
		}
		return nil
	case v.Kind() == reflect.Slice && v.Type() != bytesType:
		return c.items(b, f.item, v)
	case v.Kind() == reflect.Map:
		return c.entries(b, f, "entry", v)
	case v.Kind() == reflect.String:
		return xml.EscapeText(b, []byte(v.String()))
	case v.Kind() == reflect.Interface:
		return fmt.Errorf("a union of type %s has no form in XML here", v.Type())
	}
	scalar, err := c.append(nil, v)
	b.Write(bytes.Trim(scalar, `"`))
	return err
}

// member writes a member of a structure: its element, or, of a flattened list
// or map, one for each item.
func (c *Codec) member(b *bytes.Buffer, f *field, v reflect.Value) error {
	switch {
	case absent(v):
		return nil
	case f.flat && v.Kind() == reflect.Slice:
		return c.items(b, f.xml, v)
	case f.flat && v.Kind() == reflect.Map:
		return c.entries(b, f, f.xml, v)
	}
	return c.element(b, f.xml, f, v)
}

func (c *Codec) items(b *bytes.Buffer, name string, v reflect.Value) error {
	inner := &field{item: c.usualItem(), key: "key", value: "value"}
	for i := range v.Len() {
		if err := c.element(b, name, inner, v.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

func (c *Codec) entries(b *bytes.Buffer, f *field, name string, v reflect.Value) error {
	inner := &field{item: c.usualItem(), key: "key", value: "value"}
	for _, key := range sortedKeys(v) {
		b.WriteString("<" + name + ">")
		if err := errors.Join(c.element(b, f.key, inner, key), c.element(b, f.value, inner, v.MapIndex(key))); err != nil {
			return err
		}
		b.WriteString("</" + name + ">")
	}
	return nil
}

func (c *Codec) element(b *bytes.Buffer, name string, f *field, v reflect.Value) error {
	b.WriteString("<" + name + ">")
	if err := c.writeXML(b, f, v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	b.WriteString("</" + name + ">")
	return nil
}
