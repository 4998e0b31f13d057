package awsapi

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/traits"
)

// Codec turns the SDK's own input and output types into wire values and back,
// by reflection. The names on the wire come from the schema that each of those
// types carries. It is safe for concurrent use.
type Codec struct {
	unknown reflect.Type
	ec2     bool
	// text tells that times are written as ISO 8601, as events have them.
	text  bool
	plans sync.Map // reflect.Type → *plan
}

// NewCodec makes a codec for one service. Unknown is a pointer to the service's
// types.UnknownUnionMember, which stands for every union's value: a union is
// kept as it came, undecoded. It is nil for a service without unions.
func NewCodec(unknown any) *Codec {
	c := &Codec{}
	if unknown != nil {
		c.unknown = reflect.TypeOf(unknown)
	}
	return c
}

// NewEC2Codec makes a codec for EC2, whose query protocol has rules of its own:
// lists of an input are always flattened, those of an answer are never, the
// names in an answer begin in lower case, and a parameter that is unknown is an
// error. Its types are declared by this package (the SDK's package takes minutes
// to compile), with a tag where a name differs from the field's: query:"Filter",
// xml:"reservationSet".
func NewEC2Codec() *Codec { return &Codec{ec2: true} }

// NewEventCodec makes a codec whose times are texts (ISO 8601, in milliseconds),
// as they are in the details of events.
func NewEventCodec(unknown any) *Codec {
	c := NewCodec(unknown)
	c.text = true
	return c
}

// plan is what the codec knows of a struct type.
type plan struct {
	fields []field
	byName map[string]int // wire name → index into fields
	byForm map[string]int // name in the query protocol's input → the same
}

// field is a member of a struct type, and what it is called in each protocol.
type field struct {
	index int
	wire  string // in JSON
	form  string // in the query protocol's input
	xml   string // in the query protocol's output
	// flat lists and maps have no element around them.
	flat bool
	// item is an item of a list; key and value are those of a map's entry.
	item, key, value string
}

var (
	timeType   = reflect.TypeFor[time.Time]()
	bytesType  = reflect.TypeFor[[]byte]()
	serialType = reflect.TypeFor[smithy.Serializable]()
)

// planOf makes, once, the plan of a struct type.
func (c *Codec) planOf(t reflect.Type) *plan {
	if known, ok := c.plans.Load(t); ok {
		return known.(*plan)
	}
	schemas := memberSchemas(t)
	p := &plan{byName: map[string]int{}, byForm: map[string]int{}}
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() || f.Name == "ResultMetadata" {
			continue
		}
		member := c.fieldOf(f, schemas[strings.ToLower(f.Name)])
		member.index = i
		p.byName[member.wire] = len(p.fields)
		if _, taken := p.byForm[member.form]; !taken {
			p.byForm[member.form] = len(p.fields)
		}
		p.fields = append(p.fields, member)
	}
	known, _ := c.plans.LoadOrStore(t, p)
	return known.(*plan)
}

// fieldOf finds a member's names: in its schema, if the type has one, else in
// its tags.
func (c *Codec) fieldOf(f reflect.StructField, schema *smithy.Schema) field {
	out := field{wire: f.Name, item: "member", key: "key", value: "value"}
	if c.ec2 {
		out.item = "item"
	}
	if schema != nil {
		out.wire = schema.MemberName()
		out.form = xmlName(schema, out.wire)
		out.xml = out.form
		_, out.flat = smithy.SchemaDirectTrait[*traits.XMLFlattened](schema)
		out.item = xmlName(schema.ListMember(), out.item)
		out.key = xmlName(schema.MapKey(), out.key)
		out.value = xmlName(schema.MapValue(), out.value)
		return out
	}
	out.form, out.xml = f.Name, f.Name
	if c.ec2 {
		out.xml = strings.ToLower(f.Name[:1]) + f.Name[1:]
	}
	if name := f.Tag.Get("query"); name != "" {
		out.form = name
	}
	if name := f.Tag.Get("xml"); name != "" {
		out.xml = name
	}
	return out
}

// xmlName is the name that a member's schema gives it in XML and in the query
// protocol, or the usual one.
func xmlName(s *smithy.Schema, usual string) string {
	if name, ok := smithy.SchemaDirectTrait[*traits.XMLName](s); ok {
		return name.Name
	}
	return usual
}

// memberSchemas asks the SDK's type for its schema, and gives those of the
// members by the lower-case form of their names. A type without one has none.
func memberSchemas(t reflect.Type) map[string]*smithy.Schema {
	if !reflect.PointerTo(t).Implements(serialType) {
		return nil
	}
	probe := &schemaProbe{}
	func() {
		// The schema is said first; the probe leaves as soon as it has it.
		defer func() {
			if r := recover(); r != nil && r != any(probe) {
				panic(r)
			}
		}()
		reflect.New(t).Interface().(smithy.Serializable).Serialize(probe)
	}()
	if probe.schema == nil {
		return nil
	}
	members := map[string]*smithy.Schema{}
	for name, member := range probe.schema.Members() {
		members[strings.ToLower(name)] = member
	}
	return members
}

// schemaProbe is a serializer that only remembers whose schema is written first.
type schemaProbe struct {
	smithy.ShapeSerializer // nil: nothing else is ever asked of the probe

	schema *smithy.Schema
}

func (p *schemaProbe) WriteStruct(s *smithy.Schema) {
	p.schema = s
	panic(p)
}

// DecodeError tells which member of an input could not be decoded, and why.
type DecodeError struct {
	Path   string // "containerDefinitions[0].cpu"; empty for the whole
	Reason string
	// Code is the error's name on the wire where it is not the protocol's usual.
	Code string
}

func (e *DecodeError) Error() string {
	if e.Path == "" {
		return e.Reason
	}
	return fmt.Sprintf("%s: %s", e.Path, e.Reason)
}
