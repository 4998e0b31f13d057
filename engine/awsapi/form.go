package awsapi

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxFormDepth bounds how many names a parameter of the query protocol may have:
// SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.StringValue has six.
const maxFormDepth = 32

// formTree turns Tags.member.1.Key=a into {"Tags":{"member":{"1":{"Key":"a"}}}}.
func formTree(form url.Values) (map[string]any, error) {
	root := map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(form)) {
		if key == "Action" || key == "Version" || strings.HasPrefix(key, "X-Amz-") {
			continue
		}
		parts := strings.Split(key, ".")
		if len(parts) > maxFormDepth {
			return nil, &DecodeError{Path: key[:min(40, len(key))] + "...", Reason: "the parameter has more than " + strconv.Itoa(maxFormDepth) + " names"}
		}
		at := root
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
		if _, taken := at[last]; taken || len(form[key]) != 1 {
			return nil, &DecodeError{Path: key, Reason: "the parameter is given twice"}
		}
		at[last] = form[key][0]
	}
	return root, nil
}

// decodeForm reads the parameters of the query protocol into one of the SDK's
// types, and gives them as the tree that JSON would have brought.
func (c *Codec) decodeForm(form url.Values, into any) (any, error) {
	parameters, err := formTree(form)
	if err != nil {
		return nil, err
	}
	v := reflect.ValueOf(into).Elem()
	tree, err := c.formStruct(v.Type(), parameters, "")
	if err != nil {
		return nil, err
	}
	return tree, c.assign(v, tree, "")
}

// formStruct gives the members of a structure under the names that they have in
// JSON.
func (c *Codec) formStruct(t reflect.Type, parameters map[string]any, path string) (any, error) {
	p := c.planOf(t)
	members := make(map[string]any, len(parameters))
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		i, known := p.byForm[name]
		if !known {
			if c.ec2 {
				return nil, &DecodeError{Code: "UnknownParameter", Reason: "The parameter " + join(path, name) + " is not recognized"}
			}
			continue
		}
		f := &p.fields[i]
		value, err := c.formValue(t.Field(f.index).Type, f, parameters[name], join(path, name))
		if err != nil {
			return nil, err
		}
		members[f.wire] = value
	}
	return members, nil
}

// formValue gives a parameter, or what is below its name, as the value that
// JSON would have brought: a form itself knows texts only.
func (c *Codec) formValue(t reflect.Type, f *field, value any, path string) (any, error) {
	if t.Kind() == reflect.Pointer {
		return c.formValue(t.Elem(), f, value, path)
	}
	below, isTree := value.(map[string]any)
	text, _ := value.(string)
	switch {
	case t.Kind() == reflect.Slice && t != bytesType:
		return c.formList(t, f, value, path)
	case t.Kind() == reflect.Map:
		return c.formMap(t, f, below, path)
	case t.Kind() == reflect.Struct && t != timeType:
		if !isTree && text != "" {
			return nil, wrongKind(path, value, "a structure")
		}
		return c.formStruct(t, below, path)
	case isTree:
		return nil, &DecodeError{Path: path, Reason: "the parameter is one value, and has none below it"}
	case t == timeType:
		return formTime(text, path)
	case t.Kind() == reflect.Bool && (text == "true" || text == "false"):
		return text == "true", nil
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Float64 && json.Valid([]byte(text)) && strings.ContainsAny(text[:1], "-0123456789"):
		return json.Number(text), nil
	}
	return text, nil // of another kind than it should be: assign says so
}

// formTime reads a time as the query protocol has it (ISO 8601), or in seconds.
func formTime(text, path string) (any, error) {
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return json.Number(strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', -1, 64)), nil
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil && json.Valid([]byte(text)) {
		return json.Number(text), nil
	}
	return nil, &DecodeError{Path: path, Reason: strconv.Quote(text) + " is not a time such as 2026-03-01T12:00:00Z"}
}

// formList reads Name.member.1, Name.member.2, or, flattened, Name.1, Name.2.
// A flattened list of one may be without its number.
func (c *Codec) formList(t reflect.Type, f *field, value any, path string) (any, error) {
	below, isTree := value.(map[string]any)
	flat := f.flat || c.ec2
	if text, _ := value.(string); !isTree {
		if text == "" {
			return []any{}, nil
		}
		if !flat {
			return nil, wrongKind(path, value, "a list: use "+path+"."+f.item+".1")
		}
		below = map[string]any{"1": text}
	}
	if isTree && !flat {
		var err error
		if below, path, err = only(below, f.item, path); err != nil {
			return nil, err
		}
	}
	numbered, err := inOrder(below, path)
	if err != nil {
		return nil, err
	}
	items := make([]any, 0, len(numbered))
	for _, n := range numbered {
		item, err := c.formValue(t.Elem(), &field{item: c.usualItem(), key: "key", value: "value"}, n.value, n.path)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

func (c *Codec) usualItem() string {
	if c.ec2 {
		return "item"
	}
	return "member"
}

// formMap reads Name.entry.1.key and .value, or, flattened, Name.1.key. A
// flattened map of one may be without its number.
func (c *Codec) formMap(t reflect.Type, f *field, below map[string]any, path string) (any, error) {
	if !f.flat && len(below) > 0 {
		var err error
		if below, path, err = only(below, "entry", path); err != nil {
			return nil, err
		}
	}
	if _, one := below[f.key]; one && f.flat {
		below = map[string]any{"1": below}
	}
	numbered, err := inOrder(below, path)
	if err != nil {
		return nil, err
	}
	members := map[string]any{}
	for _, n := range numbered {
		entry, _ := n.value.(map[string]any)
		key, named := entry[f.key].(string)
		if _, twice := members[key]; !named || twice {
			return nil, &DecodeError{Path: n.path, Reason: "an entry of a map has one " + f.key + " of its own and one " + f.value}
		}
		value, given := entry[f.value]
		if !given {
			return nil, &DecodeError{Path: n.path, Reason: "the entry has no " + f.value}
		}
		if members[key], err = c.formValue(t.Elem(), &field{}, value, join(n.path, f.value)); err != nil {
			return nil, err
		}
	}
	return members, nil
}

// only goes down through the one name that may be there.
func only(below map[string]any, name, path string) (map[string]any, string, error) {
	next, ok := below[name].(map[string]any)
	if !ok || len(below) != 1 {
		return nil, path, &DecodeError{Path: path, Reason: "the items are to be named " + path + "." + name + ".1 and so on"}
	}
	return next, path + "." + name, nil
}

type numberedItem struct {
	number int
	value  any
	path   string
}

// inOrder gives the items of a list in the order of their numbers, which may
// have gaps.
func inOrder(below map[string]any, path string) ([]numberedItem, error) {
	items := make([]numberedItem, 0, len(below))
	for key, value := range below {
		n, err := strconv.Atoi(key)
		if err != nil || n < 0 || strconv.Itoa(n) != key {
			return nil, &DecodeError{Path: join(path, key), Reason: "the items of a list are numbered 1, 2, 3"}
		}
		items = append(items, numberedItem{number: n, value: value, path: join(path, key)})
	}
	slices.SortFunc(items, func(a, b numberedItem) int { return cmp.Compare(a.number, b.number) })
	return items, nil
}
