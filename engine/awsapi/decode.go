package awsapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math"
	"reflect"
	"strconv"
	"time"
)

// Decode reads a JSON object into one of the SDK's types. Members that the type
// does not know are left out, as AWS does; a value of the wrong kind is a
// *DecodeError that names the member. An empty body is an empty object.
func (c *Codec) Decode(body []byte, into any) error {
	_, err := c.decode(body, into)
	return err
}

// decode is Decode that also gives the parsed tree.
func (c *Codec) decode(body []byte, into any) (any, error) {
	tree, err := parseJSON(body)
	if err != nil {
		return nil, err
	}
	if _, ok := tree.(map[string]any); !ok {
		return nil, &DecodeError{Reason: kindOf(tree) + " can not be converted to a structure"}
	}
	return tree, c.assign(reflect.ValueOf(into).Elem(), tree, "")
}

func parseJSON(body []byte) (any, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return map[string]any{}, nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return nil, &DecodeError{Reason: "the body is not JSON: " + err.Error()}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, &DecodeError{Reason: "the body goes on after the JSON value"}
	}
	return tree, nil
}

// assign puts a parsed value into v.
func (c *Codec) assign(v reflect.Value, value any, path string) error {
	if value == nil {
		return nil
	}
	switch {
	case v.Type() == timeType:
		return assignTime(v, value, path)
	case v.Type() == bytesType:
		return assignBytes(v, value, path)
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return c.assign(v.Elem(), value, path)
	case reflect.Struct:
		return c.assignStruct(v, value, path)
	case reflect.Slice:
		return c.assignList(v, value, path)
	case reflect.Map:
		return c.assignMap(v, value, path)
	case reflect.Interface:
		return c.assignUnion(v, value, path)
	case reflect.String:
		text, ok := value.(string)
		if !ok {
			return wrongKind(path, value, "a String")
		}
		v.SetString(text)
		return nil
	case reflect.Bool:
		truth, ok := value.(bool)
		if !ok {
			return wrongKind(path, value, "a Boolean")
		}
		v.SetBool(truth)
		return nil
	default:
		return assignNumber(v, value, path)
	}
}

func (c *Codec) assignStruct(v reflect.Value, value any, path string) error {
	members, ok := value.(map[string]any)
	if !ok {
		return wrongKind(path, value, "a structure")
	}
	p := c.planOf(v.Type())
	for name, member := range members {
		i, known := p.byName[name]
		if !known {
			continue
		}
		if err := c.assign(v.Field(p.fields[i].index), member, join(path, name)); err != nil {
			return err
		}
	}
	return nil
}

func (c *Codec) assignList(v reflect.Value, value any, path string) error {
	items, ok := value.([]any)
	if !ok {
		return wrongKind(path, value, "a list")
	}
	list := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, item := range items {
		at := path + "[" + strconv.Itoa(i) + "]"
		if item == nil {
			return wrongKind(at, item, "an item of a list")
		}
		if err := c.assign(list.Index(i), item, at); err != nil {
			return err
		}
	}
	v.Set(list)
	return nil
}

func (c *Codec) assignMap(v reflect.Value, value any, path string) error {
	members, ok := value.(map[string]any)
	if !ok {
		return wrongKind(path, value, "a map")
	}
	m := reflect.MakeMapWithSize(v.Type(), len(members))
	for name, member := range members {
		at := join(path, name)
		if member == nil {
			return wrongKind(at, member, "a value of a map")
		}
		item := reflect.New(v.Type().Elem()).Elem()
		if err := c.assign(item, member, at); err != nil {
			return err
		}
		m.SetMapIndex(reflect.ValueOf(name).Convert(v.Type().Key()), item)
	}
	v.Set(m)
	return nil
}

// assignUnion keeps a union's value as it came: the one member's name, and its
// JSON. A free-form document has no such holder; it is an error rather than
// being dropped.
func (c *Codec) assignUnion(v reflect.Value, value any, path string) error {
	members, ok := value.(map[string]any)
	if !ok || c.unknown == nil || !c.unknown.Implements(v.Type()) {
		return wrongKind(path, value, "a member that this endpoint knows")
	}
	if len(members) != 1 {
		return &DecodeError{Path: path, Reason: "exactly one member of a union must be set, got " + strconv.Itoa(len(members))}
	}
	for tag, member := range members {
		raw, err := json.Marshal(member)
		if err != nil {
			return &DecodeError{Path: join(path, tag), Reason: err.Error()}
		}
		holder := reflect.New(c.unknown.Elem())
		holder.Elem().FieldByName("Tag").SetString(tag)
		holder.Elem().FieldByName("Value").SetBytes(raw)
		v.Set(holder)
	}
	return nil
}

func assignTime(v reflect.Value, value any, path string) error {
	number, ok := value.(json.Number)
	if !ok {
		return wrongKind(path, value, "a Timestamp")
	}
	seconds, err := number.Float64()
	if err != nil || math.Abs(seconds) > 253402300799 { // the end of the year 9999
		return &DecodeError{Path: path, Reason: number.String() + " is not a time in seconds since 1970"}
	}
	v.Set(reflect.ValueOf(time.UnixMilli(int64(math.Round(seconds * 1000))).UTC()))
	return nil
}

func assignBytes(v reflect.Value, value any, path string) error {
	text, ok := value.(string)
	if !ok {
		return wrongKind(path, value, "a Blob")
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return &DecodeError{Path: path, Reason: "the value is not base64: " + err.Error()}
	}
	v.SetBytes(raw)
	return nil
}

func assignNumber(v reflect.Value, value any, path string) error {
	number, ok := value.(json.Number)
	if !ok {
		return wrongKind(path, value, numberName(v.Kind()))
	}
	if v.CanFloat() {
		f, err := number.Float64()
		if err != nil || v.OverflowFloat(f) {
			return &DecodeError{Path: path, Reason: number.String() + " is out of range"}
		}
		v.SetFloat(f)
		return nil
	}
	n, err := number.Int64()
	if err != nil {
		// 3.0 and 3e2 are whole numbers too.
		f, problem := number.Float64()
		if problem != nil || f != math.Trunc(f) || math.Abs(f) >= 1<<53 {
			return &DecodeError{Path: path, Reason: number.String() + " can not be converted to " + numberName(v.Kind())}
		}
		n = int64(f)
	}
	if v.OverflowInt(n) {
		return &DecodeError{Path: path, Reason: number.String() + " is out of range for " + numberName(v.Kind())}
	}
	v.SetInt(n)
	return nil
}

func numberName(k reflect.Kind) string {
	switch k {
	case reflect.Int64:
		return "a Long"
	case reflect.Float32, reflect.Float64:
		return "a Double"
	}
	return "an Integer"
}

// kindOf names a parsed value as AWS's own decoder does.
func kindOf(value any) string {
	switch value := value.(type) {
	case nil:
		return "NULL_VALUE"
	case string:
		return "STRING_VALUE"
	case bool:
		if value {
			return "TRUE_VALUE"
		}
		return "FALSE_VALUE"
	case json.Number:
		return "NUMBER_VALUE"
	case []any:
		return "START_ARRAY"
	}
	return "START_OBJECT"
}

func wrongKind(path string, value any, want string) error {
	return &DecodeError{Path: path, Reason: kindOf(value) + " can not be converted to " + want}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
