package ecsapi_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/smithy-go"

	"plimsoll/engine/awsapi"
)

var (
	update = flag.Bool("update", false, "write docs/ecs-compatibility.md anew")
	byCLI  = flag.Bool("cli", false, "send every probe through the AWS CLI as well")
)

const compatibility = "../../docs/ecs-compatibility.md"

// probe is one call, and what is to come of it.
type probe struct {
	op string
	in string // JSON; {name} is what a probe before has kept
	// err and says are the refusal that is to come; none: the call succeeds.
	err, says string
	// see are the values that the answer is to have: "tasks.0.lastStatus=RUNNING",
	// "tasks.#=2" (how many), "nextToken=*" (anything), "nextToken=" (nothing).
	see []string
	// keep remembers values of the answer: name to path.
	keep map[string]string
	// wait repeats the call until it sees what it is to see.
	wait bool
	// differs says what is different from ECS, and why; it goes into the document.
	differs string
	// no is why the CLI cannot send the probe.
	no string
}

// chapter is a list of probes that share an engine.
type chapter struct {
	title  string
	hosts  int
	probes []probe
}

// sender sends a call and gives the answer as JSON.
type sender func(op, in string) (map[string]any, error)

var codec = awsapi.NewCodec(&types.UnknownUnionMember{})

// bySDK sends through aws-sdk-go-v2.
func (s *stand) bySDK(op, in string) (map[string]any, error) {
	method := reflect.ValueOf(s.Client).MethodByName(op)
	if !method.IsValid() {
		s.t.Fatalf("the SDK has no operation %s", op)
	}
	input := reflect.New(method.Type().In(1).Elem())
	if err := codec.Decode([]byte(in), input.Interface()); err != nil {
		s.t.Fatalf("%s %s: %v", op, in, err)
	}
	out := method.Call([]reflect.Value{reflect.ValueOf(s.t.Context()), input})
	if err, _ := out[1].Interface().(error); err != nil {
		return nil, err
	}
	text, err := codec.Encode(out[0].Interface())
	if err != nil {
		return nil, err
	}
	var tree map[string]any
	return tree, json.Unmarshal(text, &tree)
}

var camel = regexp.MustCompile(`([a-z0-9])([A-Z])`)

// refusedByCLI is an error that the AWS CLI has printed.
type refusedByCLI struct{ code, message string }

func (e *refusedByCLI) Error() string                 { return e.code + ": " + e.message }
func (e *refusedByCLI) ErrorCode() string             { return e.code }
func (e *refusedByCLI) ErrorMessage() string          { return e.message }
func (e *refusedByCLI) ErrorFault() smithy.ErrorFault { return smithy.FaultUnknown }

var printedError = regexp.MustCompile(`An error occurred \((\w+)\)[^:]*: (?s)(.*)`)

// sendByCLI sends through the AWS CLI.
func (s *stand) sendByCLI(op, in string) (map[string]any, error) {
	name := strings.ToLower(camel.ReplaceAllString(op, "$1-$2"))
	out, problems, err := s.cli("ecs", name, "--no-paginate", "--cli-input-json", in)
	if err == nil {
		return out, nil
	}
	if m := printedError.FindStringSubmatch(problems); m != nil {
		return nil, &refusedByCLI{m[1], strings.TrimSpace(m[2])}
	}
	return nil, fmt.Errorf("%w: %s", err, problems)
}

var hole = regexp.MustCompile(`\{(\w+)\}`)

// run sends the probes of a chapter and tells what the ledger is to know.
func (c chapter) run(t *testing.T, cli bool, book *ledger) {
	s := newStand(t, "process", c.hosts)
	var send sender = s.bySDK
	if cli {
		send = s.sendByCLI
	}
	kept := map[string]string{"arn": strings.TrimSuffix(prefix, ":"), "account": account}
	for n, p := range c.probes {
		if cli && p.no != "" {
			send = s.bySDK
		}
		in := hole.ReplaceAllStringFunc(p.in, func(h string) string {
			if v, ok := kept[h[1:len(h)-1]]; ok {
				return v
			}
			return h
		})
		what := fmt.Sprintf("%s, probe %d: %s %s", c.title, n+1, p.op, in)
		out, err := p.send(s, send, in)
		if cli {
			send = s.sendByCLI
		}
		if p.err != "" {
			wants(t, what, err, p.err, p.says)
			book.refused(p)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		for _, want := range p.see {
			if !sees(out, want) {
				t.Errorf("%s: does not have %s: %s", what, want, pretty(out))
			}
		}
		for name, path := range p.keep {
			kept[name] = fmt.Sprint(at(out, path))
		}
		book.honoured(p)
	}
}

// send sends the probe, and again for as long as it is to wait for what it sees.
func (p probe) send(s *stand, send sender, in string) (map[string]any, error) {
	for until := time.Now().Add(15 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		out, err := send(p.op, in)
		seen := !slices.ContainsFunc(p.see, func(want string) bool { return !sees(out, want) })
		if !p.wait || err != nil || seen || time.Now().After(until) {
			return out, err
		}
	}
}

// at gives the value at a path: names and indices, # for the length.
func at(tree any, path string) any {
	for _, step := range strings.Split(path, ".") {
		switch v := tree.(type) {
		case map[string]any:
			tree = v[step]
		case []any:
			if step == "#" {
				tree = len(v)
				continue
			}
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(v) {
				return nil
			}
			tree = v[i]
		default:
			return nil
		}
	}
	return tree
}

func sees(out map[string]any, want string) bool {
	path, value, _ := strings.Cut(want, "=")
	got := at(out, path)
	switch value {
	case "":
		return got == nil || got == ""
	case "*":
		return got != nil && got != ""
	}
	if text, ok := got.(string); ok && strings.HasPrefix(value, "~") {
		return strings.Contains(text, value[1:])
	}
	return fmt.Sprint(got) == value
}

func pretty(v any) string {
	text, _ := json.MarshalIndent(v, "", " ")
	return string(text)
}

// ledger is what the probes have really sent, by operation.
type ledger struct {
	fields  map[string]map[string]bool // members of inputs that were honoured
	beyond  map[string]map[string]bool // members that were refused by name
	errors  map[string]map[string]bool
	differs map[string][]string
}

func newLedger() *ledger {
	return &ledger{
		fields: map[string]map[string]bool{}, beyond: map[string]map[string]bool{},
		errors: map[string]map[string]bool{}, differs: map[string][]string{},
	}
}

func note(in map[string]map[string]bool, op, what string) {
	if in[op] == nil {
		in[op] = map[string]bool{}
	}
	in[op][what] = true
}

func (l *ledger) honoured(p probe) {
	note(l.fields, p.op, "")
	var tree any
	_ = json.Unmarshal([]byte(hole.ReplaceAllString(p.in, "$1")), &tree)
	for _, path := range leaves(tree, "") {
		note(l.fields, p.op, path)
	}
	l.differ(p)
}

func (l *ledger) refused(p probe) {
	note(l.errors, p.op, p.err)
	l.differ(p)
}

func (l *ledger) differ(p probe) {
	if p.differs != "" && !slices.Contains(l.differs[p.op], p.differs) {
		l.differs[p.op] = append(l.differs[p.op], p.differs)
	}
}

// alwaysRefused are the operations of which no call succeeds.
var alwaysRefused = []string{"ExecuteCommand", "UpdateContainerAgent"}

// freeNames are members whose own members are names of the user's.
var freeNames = []string{"dockerLabels"}

// leaves are the paths of a JSON value's members, without indices.
func leaves(tree any, path string) []string {
	var all []string
	switch v := tree.(type) {
	case map[string]any:
		if slices.Contains(freeNames, path[strings.LastIndexByte(path, '.')+1:]) {
			return []string{path}
		}
		for name, member := range v {
			all = append(all, leaves(member, strings.TrimPrefix(path+"."+name, "."))...)
		}
		return all
	case []any:
		for _, item := range v {
			all = append(all, leaves(item, path)...)
		}
		if len(v) > 0 {
			return all
		}
	}
	return []string{path}
}

// refuseTheRest sends, for every member of an operation's input that no probe
// has used, a call that says something in it: it is to be refused by its name.
func refuseTheRest(t *testing.T, s *stand, op string, book *ledger) {
	method := reflect.ValueOf(s.Client).MethodByName(op)
	kind := method.Type().In(1).Elem()
	for _, m := range unused(kind, "", nil, sortedKeys(book.fields[op])) {
		input := reflect.New(kind)
		require(input.Elem())
		if !fill(reach(input.Elem(), m.steps), 0) {
			t.Errorf("%s.%s: no probe uses it, and no value can be made up", op, m.path)
			continue
		}
		out := method.Call([]reflect.Value{reflect.ValueOf(t.Context()), input})
		var refused smithy.APIError
		err, _ := out[1].Interface().(error)
		name := m.path[strings.LastIndexByte(m.path, '.')+1:]
		if !errors.As(err, &refused) || !strings.Contains(refused.ErrorMessage(), name) {
			t.Errorf("%s.%s: no probe uses it, and it is not refused by name: %v", op, m.path, err)
			continue
		}
		note(book.beyond, op, m.path)
	}
}

// member is a member of an input: its path, and the fields on the way to it.
type member struct {
	path  string
	steps []int
}

// unused are the members of a type that none of the paths is, and none is below.
func unused(kind reflect.Type, path string, steps []int, used []string) []member {
	for kind.Kind() == reflect.Pointer || kind.Kind() == reflect.Slice {
		kind = kind.Elem()
	}
	if kind.Kind() != reflect.Struct {
		return nil
	}
	var all []member
	for i := range kind.NumField() {
		f := kind.Field(i)
		if !f.IsExported() {
			continue
		}
		m := member{
			path:  strings.TrimPrefix(path+"."+strings.ToLower(f.Name[:1])+f.Name[1:], "."),
			steps: append(slices.Clip(steps), i),
		}
		switch {
		case slices.Contains(used, m.path):
		case slices.ContainsFunc(used, func(u string) bool { return strings.HasPrefix(u, m.path+".") }):
			all = append(all, unused(f.Type, m.path, m.steps, used)...)
		default:
			all = append(all, m)
		}
	}
	return all
}

// reach goes to a member, and makes what is on the way.
func reach(v reflect.Value, steps []int) reflect.Value {
	for _, i := range steps {
		for v.Kind() != reflect.Struct {
			if v.Kind() == reflect.Pointer {
				if v.IsNil() {
					v.Set(reflect.New(v.Type().Elem()))
				}
				v = v.Elem()
				continue
			}
			if v.Len() == 0 {
				v.Set(reflect.MakeSlice(v.Type(), 1, 1))
				require(v.Index(0))
			}
			v = v.Index(0)
		}
		require(v)
		v = v.Field(i)
	}
	return v
}

// require fills what the SDK does not send a structure without.
func require(v reflect.Value) {
	if v.Kind() != reflect.Struct {
		return
	}
	for _, name := range []string{
		"ServiceName", "Service", "TaskDefinition", "Family", "Cluster", "ContainerInstances", "ContainerInstance", "Name", "CapacityProvider",
		"AutoScalingGroupProvider", "AutoScalingGroupArn", "Key", "Type", "TargetType", "ResourceArn", "Task", "Namespace", "ServiceDeploymentArn",
	} {
		if name == "Cluster" && strings.HasSuffix(v.Type().Name(), "CapacityProviderInput") {
			continue // nothing that they need
		}
		if f := v.FieldByName(name); f.IsValid() && f.IsZero() {
			fill(f, 0)
		}
	}
	if f := v.FieldByName("ContainerDefinitions"); f.IsValid() && f.IsZero() {
		f.Set(reflect.MakeSlice(f.Type(), 1, 1))
	}
}

// fill puts something into a value, as deep as it has to; false if it cannot.
func fill(v reflect.Value, depth int) bool {
	if depth > 14 {
		return false
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return fill(v.Elem(), depth+1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		return fill(v.Index(0), depth+1)
	case reflect.Struct:
		filled := false
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				filled = fill(v.Field(i), depth+1) || filled
			}
		}
		return filled
	case reflect.String:
		v.SetString("x")
		if values := v.MethodByName("Values"); values.IsValid() {
			v.Set(values.Call(nil)[0].Index(0))
		}
		return true
	case reflect.Bool:
		v.SetBool(true)
		return true
	case reflect.Int32, reflect.Int64:
		v.SetInt(1)
		return true
	case reflect.Float64, reflect.Float32:
		v.SetFloat(1)
		return true
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("x").Convert(v.Type().Key()), reflect.New(v.Type().Elem()).Elem())
		return true
	}
	return false
}

func sortedKeys(m map[string]bool) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		if key != "" {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func TestEveryOperationAnswersAsTheDocumentSays(t *testing.T) {
	book := newLedger()
	for _, c := range chapters {
		t.Run(c.title, func(t *testing.T) { c.run(t, false, book) })
	}
	s := newStand(t, "process", 0)
	for _, op := range s.operations {
		if slices.Contains(alwaysRefused, op) && book.fields[op] == nil && book.errors[op] != nil {
			continue
		}
		if book.fields[op] == nil || book.errors[op] == nil {
			t.Errorf("%s is served, and not both a good and a bad call of it are in the table", op)
			continue
		}
		refuseTheRest(t, s, op, book)
	}
	if t.Failed() {
		return
	}
	got := book.document(s.operations)
	if *update {
		if err := os.WriteFile(compatibility, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(compatibility)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("docs/ecs-compatibility.md is not what the probes have shown (%v): run make conformance", err)
	}
}

func TestTheAWSCLIGetsTheSameAnswers(t *testing.T) {
	if !*byCLI {
		t.Skip("each call of the AWS CLI takes most of a second: make conformance does it")
	}
	if _, err := exec.LookPath("aws"); err != nil {
		t.Skipf("the AWS CLI is not installed: %v", err)
	}
	for _, c := range chapters {
		t.Run(c.title, func(t *testing.T) { c.run(t, true, newLedger()) })
	}
}

// document is docs/ecs-compatibility.md.
func (l *ledger) document(operations []string) []byte {
	var b bytes.Buffer
	b.WriteString(`# ECS compatibility

Written by ` + "`make conformance`" + ` from the calls that its probes send with aws-sdk-go-v2, and
with the AWS CLI where that is installed. An input's member is listed as honoured if
a call with it succeeded and its answer was checked, as refused if a call with it was
refused by that name. There is nothing between the two: what is not honoured is refused.
Every call's signature is verified; lists page by nextToken.

Where it holds for all: tasks run on container instances, which are logical hosts of this
machine, so that Fargate, network interfaces, load balancers of AWS and IAM's policies are
not there. ARNs have the long form.

`)
	sorted := slices.Sorted(slices.Values(operations))
	fmt.Fprintf(&b, "%d operations.\n\n| operation | honoured | refused by name | errors seen |\n| --- | --- | --- | --- |\n", len(sorted))
	for _, op := range sorted {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", op, join(l.fields[op]), join(l.beyond[op]), join(l.errors[op]))
	}
	b.WriteString("\n## What differs, and why\n")
	for _, op := range sorted {
		if len(l.differs[op]) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n**%s**\n\n", op)
		for _, d := range l.differs[op] {
			fmt.Fprintf(&b, "- %s\n", d)
		}
	}
	b.WriteString(besideECS)
	return b.Bytes()
}

func join(words map[string]bool) string {
	if len(words) == 0 {
		return "-"
	}
	return strings.Join(sortedKeys(words), ", ")
}
