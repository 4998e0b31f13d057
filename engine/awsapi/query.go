package awsapi

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// queryProtocol is AWS Query: parameters in a form, answers in XML.
type queryProtocol struct{}

func (queryProtocol) decode(req *request, call *Call, into any) error {
	tree, err := formTree(req.form)
	if err == nil {
		call.tree = tree
		err = req.service.Codec.assign(reflect.ValueOf(into).Elem(), typed(reflect.TypeOf(into), tree), "")
	}
	if err != nil {
		return &Error{Code: "SerializationException", QueryCode: "MalformedInput", Message: err.Error()}
	}
	return nil
}

// formTree turns Tags.member.1.Key=a into {"Tags":[{"Key":"a"}]}.
func formTree(form url.Values) (map[string]any, error) {
	root := map[string]any{}
	for key, values := range form {
		if key == "Action" || key == "Version" || strings.HasPrefix(key, "X-Amz-") {
			continue
		}
		at := root
		parts := strings.Split(key, ".")
		for _, part := range parts[:len(parts)-1] {
			next, ok := at[part].(map[string]any)
			if !ok {
				if _, taken := at[part]; taken {
					return nil, &DecodeError{Path: key, Reason: "the parameter is both a value and a structure"}
				}
				next = map[string]any{}
				at[part] = next
			}
			at = next
		}
		last := parts[len(parts)-1]
		if _, taken := at[last]; taken || len(values) != 1 {
			return nil, &DecodeError{Path: key, Reason: "the parameter is given twice"}
		}
		at[last] = values[0]
	}
	return root, nil
}

// typed gives a form's texts the kinds that the input type asks for: the form
// itself has none.
func typed(t reflect.Type, value any) any {
	if t.Kind() == reflect.Pointer {
		return typed(t.Elem(), value)
	}
	members, isTree := value.(map[string]any)
	text, _ := value.(string)
	switch {
	case t.Kind() == reflect.Struct && t != timeType && isTree:
		for name := range members {
			if f, ok := t.FieldByName(name); ok {
				members[name] = typed(f.Type, members[name])
			}
		}
	case t.Kind() == reflect.Slice && t != bytesType && isTree:
		numbered, _ := members["member"].(map[string]any)
		items := make([]any, 0, len(numbered))
		for i := 1; i <= len(numbered); i++ {
			items = append(items, typed(t.Elem(), numbered[strconv.Itoa(i)]))
		}
		return items
	case t.Kind() == reflect.Bool && (text == "true" || text == "false"):
		return text == "true"
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Float64:
		if _, err := strconv.ParseFloat(text, 64); err == nil {
			return json.Number(text)
		}
	}
	return value
}

func (p queryProtocol) write(w http.ResponseWriter, req *request, id string, out any) {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<%sResponse xmlns="%s"><%sResult>`, req.name, req.service.Namespace, req.name)
	if err := req.service.Codec.writeXML(&b, reflect.ValueOf(out)); err != nil {
		p.writeError(w, req, id, &Error{
			Code: "InternalFailure", Message: err.Error(), Status: http.StatusInternalServerError,
		})
		return
	}
	fmt.Fprintf(&b, `</%sResult><ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></%sResponse>`,
		req.name, id, req.name)
	p.send(w, http.StatusOK, b.Bytes())
}

func (p queryProtocol) writeError(w http.ResponseWriter, req *request, id string, e *Error) {
	namespace := "http://webservices.amazon.com/AWSFault/2005-15-09"
	if req.service != nil && req.service.Namespace != "" {
		namespace = req.service.Namespace
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<ErrorResponse xmlns="%s"><Error><Type>%s</Type><Code>%s</Code><Message>`,
		namespace, e.fault(), e.queryCode())
	_ = xml.EscapeText(&b, []byte(e.Message)) // a bytes.Buffer takes everything
	fmt.Fprintf(&b, `</Message></Error><RequestId>%s</RequestId></ErrorResponse>`, id)
	p.send(w, e.queryStatus(), b.Bytes())
}

func (queryProtocol) send(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "text/xml")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has gone away is told nothing
}

// writeXML writes the members of a value as XML elements.
func (c *Codec) writeXML(b *bytes.Buffer, v reflect.Value) error {
	switch {
	case v.Type() == timeType:
		b.WriteString(v.Interface().(time.Time).UTC().Format("2006-01-02T15:04:05.999Z"))
		return nil
	case v.Kind() == reflect.Pointer:
		return c.writeXML(b, v.Elem())
	case v.Kind() == reflect.Struct:
		for _, f := range c.planOf(v.Type()).fields {
			if member := v.Field(f.index); !absent(member) {
				if err := c.element(b, f.wire, member); err != nil {
					return err
				}
			}
		}
		return nil
	case v.Kind() == reflect.Slice && v.Type() != bytesType:
		for i := range v.Len() {
			if err := c.element(b, "member", v.Index(i)); err != nil {
				return err
			}
		}
		return nil
	case v.Kind() == reflect.String:
		return xml.EscapeText(b, []byte(v.String()))
	}
	scalar, err := c.append(nil, v)
	b.Write(bytes.Trim(scalar, `"`))
	return err
}

func (c *Codec) element(b *bytes.Buffer, name string, v reflect.Value) error {
	b.WriteString("<" + name + ">")
	if err := c.writeXML(b, v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	b.WriteString("</" + name + ">")
	return nil
}
