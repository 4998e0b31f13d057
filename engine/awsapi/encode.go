package awsapi

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// Encode writes one of the SDK's types as JSON, as AWS answers: nil pointers,
// nil lists, nil maps and empty enums are left out; numbers and truth values
// that the type holds without a pointer are always there, zero included; a list
// that is empty but not nil is [].
func (c *Codec) Encode(v any) ([]byte, error) {
	return c.append(nil, reflect.ValueOf(v))
}

func (c *Codec) append(b []byte, v reflect.Value) ([]byte, error) {
	switch v.Type() {
	case timeType:
		at := v.Interface().(time.Time)
		if c.text {
			return append(at.UTC().AppendFormat(append(b, '"'), "2006-01-02T15:04:05.000Z"), '"'), nil
		}
		return appendTime(b, at), nil
	case bytesType:
		return strconv.AppendQuote(b, base64.StdEncoding.EncodeToString(v.Bytes())), nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return append(b, "null"...), nil
		}
		return c.append(b, v.Elem())
	case reflect.Struct:
		return c.appendStruct(b, v)
	case reflect.Slice:
		return c.appendList(b, v)
	case reflect.Map:
		return c.appendMap(b, v)
	case reflect.Interface:
		return c.appendUnion(b, v)
	case reflect.String:
		return appendString(b, v.String()), nil
	case reflect.Bool:
		return strconv.AppendBool(b, v.Bool()), nil
	case reflect.Int, reflect.Int32, reflect.Int64:
		return strconv.AppendInt(b, v.Int(), 10), nil
	case reflect.Float32, reflect.Float64:
		return strconv.AppendFloat(b, v.Float(), 'g', -1, v.Type().Bits()), nil
	}
	return nil, fmt.Errorf("a value of type %s has no wire form", v.Type())
}

// absent tells whether a member is left out.
func absent(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
		return v.IsNil()
	case reflect.String: // an enum: all other texts are pointers
		return v.Len() == 0
	}
	return false
}

func (c *Codec) appendStruct(b []byte, v reflect.Value) ([]byte, error) {
	b = append(b, '{')
	first := true
	for _, f := range c.planOf(v.Type()).fields {
		member := v.Field(f.index)
		if absent(member) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(appendString(b, f.wire), ':')
		var err error
		if b, err = c.append(b, member); err != nil {
			return nil, fmt.Errorf("%s: %w", f.wire, err)
		}
	}
	return append(b, '}'), nil
}

func (c *Codec) appendList(b []byte, v reflect.Value) ([]byte, error) {
	b = append(b, '[')
	for i := range v.Len() {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = c.append(b, v.Index(i)); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

func (c *Codec) appendMap(b []byte, v reflect.Value) ([]byte, error) {
	b = append(b, '{')
	for i, key := range sortedKeys(v) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, key.String()), ':')
		var err error
		if b, err = c.append(b, v.MapIndex(key)); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

// sortedKeys are a map's keys in order, so that the same value is written the
// same way.
func sortedKeys(v reflect.Value) []reflect.Value {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(x, y reflect.Value) int { return cmp.Compare(x.String(), y.String()) })
	return keys
}

// appendUnion writes back a union that was kept as it came.
func (c *Codec) appendUnion(b []byte, v reflect.Value) ([]byte, error) {
	if c.unknown == nil || v.Elem().Type() != c.unknown {
		return nil, fmt.Errorf("a union of type %s has no wire form here", v.Elem().Type())
	}
	holder := v.Elem().Elem()
	b = append(appendString(append(b, '{'), holder.FieldByName("Tag").String()), ':')
	return append(append(b, holder.FieldByName("Value").Bytes()...), '}'), nil
}

// appendTime writes seconds since the epoch, with milliseconds where there are
// any.
func appendTime(b []byte, t time.Time) []byte {
	return strconv.AppendFloat(b, float64(t.UnixMilli())/1000, 'f', -1, 64)
}

const hexDigits = "0123456789abcdef"

// appendString writes a JSON string. What is not UTF-8 becomes U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				b = append(append(b, s[start:i]...), "\ufffd"...)
				start = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(b, s[start:]...), '"')
}
