package awsapi

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/aws/smithy-go"
)

// Codec turns the SDK's own input and output types into wire values and back,
// by reflection. The names on the wire come from the schema that each of those
// types carries. It is safe for concurrent use.
type Codec struct {
	unknown reflect.Type
	plans   sync.Map // reflect.Type → *plan
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

// plan is what the codec knows of a struct type.
type plan struct {
	fields []field
	byName map[string]int // wire name → index into fields
}

type field struct {
	index int
	wire  string
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
	wire := wireNames(t)
	p := &plan{byName: map[string]int{}}
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() || f.Name == "ResultMetadata" {
			continue
		}
		name, ok := wire[strings.ToLower(f.Name)]
		if !ok {
			name = f.Name
		}
		p.byName[name] = len(p.fields)
		p.fields = append(p.fields, field{index: i, wire: name})
	}
	known, _ := c.plans.LoadOrStore(t, p)
	return known.(*plan)
}

// wireNames asks the SDK's type for its schema, and gives the members' names by
// their lower-case form. A type without a schema has none.
func wireNames(t reflect.Type) map[string]string {
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
	names := map[string]string{}
	for name := range probe.schema.Members() {
		names[strings.ToLower(name)] = name
	}
	return names
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
}

func (e *DecodeError) Error() string {
	if e.Path == "" {
		return e.Reason
	}
	return fmt.Sprintf("%s: %s", e.Path, e.Reason)
}
