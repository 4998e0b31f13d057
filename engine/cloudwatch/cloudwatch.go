// Package cloudwatch is the engine's CloudWatch: a store of samples by namespace,
// name and dimensions, in memory and bounded; the operations that put and get
// them; and ECS's own metrics, made of the cluster's state and of what the tasks
// use. It must not know how requests are signed or encoded, how the tasks are
// measured, or who acts on the figures.
package cloudwatch

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"plimsoll/engine/awsapi"
)

// api is what the operations share.
type api struct {
	store *Store
	now   func() time.Time
}

// Service makes CloudWatch's operations over a store. Now is the clock; nil is
// time.Now.
func Service(store *Store, now func() time.Time) *awsapi.Service {
	if now == nil {
		now = time.Now
	}
	a := &api{store: store, now: now}
	return &awsapi.Service{
		Name: "monitoring", Target: "GraniteServiceVersion20100801", JSONVersion: "1.0", CBOR: true,
		Version: "2010-08-01", Namespace: "http://monitoring.amazonaws.com/doc/2010-08-01/",
		ErrorPrefix: "com.amazonaws.cloudwatch#", QueryCompatible: true,
		Codec: awsapi.NewCodec(nil),
		Operations: []awsapi.Operation{
			awsapi.Op("PutMetricData", a.putMetricData),
			awsapi.Op("GetMetricData", a.getMetricData),
			awsapi.Op("GetMetricStatistics", a.getMetricStatistics),
			awsapi.Op("ListMetrics", a.listMetrics),
		},
	}
}

// faults collects what is wrong with an input: CloudWatch tells all of it at once,
// under the code of the first.
type faults struct {
	first *awsapi.Error
	texts []string
}

func (f *faults) add(e *awsapi.Error) {
	if f.first == nil {
		f.first = e
	}
	f.texts = append(f.texts, e.Message)
}

func (f *faults) invalid(format string, args ...any) { f.add(invalid(format, args...)) }

func (f *faults) missing(parameter string) {
	f.add(&awsapi.Error{
		Code: "MissingRequiredParameterException", QueryCode: "MissingParameter",
		Message: "The parameter " + parameter + " is required.",
	})
}

func (f *faults) combination(format string, args ...any) {
	f.add(&awsapi.Error{
		Code: "InvalidParameterCombinationException", QueryCode: "InvalidParameterCombination",
		Message: fmt.Sprintf(format, args...),
	})
}

// err is all of it; nil where nothing is wrong. An error that is not the
// operation's own has the code that is given, if any.
func (f *faults) err(code string) error {
	if f.first == nil {
		return nil
	}
	e := *f.first
	e.Message = strings.Join(f.texts, "\n")
	if code != "" {
		e.Code, e.QueryCode = code, ""
	}
	return &e
}

func invalid(format string, args ...any) *awsapi.Error {
	return &awsapi.Error{
		Code: "InvalidParameterValueException", QueryCode: "InvalidParameterValue",
		Message: fmt.Sprintf(format, args...),
	}
}

// invalidToken is the refusal of a token that no answer has given.
func invalidToken(err error) error {
	if errors.Is(err, awsapi.ErrBadToken) {
		return &awsapi.Error{Code: "InvalidNextToken", Message: "The value for parameter NextToken is not valid."}
	}
	return err
}

// The bounds of names.
const (
	longestName    = 255
	longestValue   = 1024
	mostDimensions = 30
)

// text checks a text of printable ASCII with a bound.
func (f *faults) text(parameter string, value *string, longest int) string {
	switch {
	case value == nil:
		f.missing(parameter)
		return ""
	case len(*value) == 0 || len(*value) > longest:
		f.invalid("The parameter %s must be between 1 and %d characters in length.", parameter, longest)
	case strings.TrimSpace(*value) == "":
		f.invalid("The parameter %s must contain at least one non-whitespace character.", parameter)
	case strings.ContainsFunc(*value, func(r rune) bool { return r < ' ' || r > '~' }):
		f.invalid("The parameter %s must contain only printable ASCII characters.", parameter)
	}
	return *value
}

// given is a dimension as the inputs have it.
type given struct{ name, value *string }

func (f *faults) dimensions(parameter string, list []given) []Dimension {
	if len(list) > mostDimensions {
		f.invalid("The collection %s must not have a size greater than %d.", parameter, mostDimensions)
		return nil
	}
	out := make([]Dimension, 0, len(list))
	for i, d := range list {
		at := fmt.Sprintf("%s.member.%d", parameter, i+1)
		one := Dimension{f.text(at+".Name", d.name, longestName), f.text(at+".Value", d.value, longestValue)}
		if strings.HasPrefix(one.Name, ":") {
			f.invalid("The parameter %s.Name must not begin with a colon.", at)
		}
		if slices.ContainsFunc(out, func(o Dimension) bool { return o.Name == one.Name }) {
			f.invalid("The parameter %s.Name has the value %s, which another dimension has too.", at, one.Name)
		}
		out = append(out, one)
	}
	return out
}

func (f *faults) namespace(parameter string, value *string) string {
	name := f.text(parameter, value, longestName)
	if strings.HasPrefix(name, ":") {
		f.invalid("The value %s for parameter %s is invalid: it must not begin with a colon.", name, parameter)
	}
	return name
}

// unit checks a unit; none is given: "".
func unit[T ~string](f *faults, parameter string, value T, all []T) string {
	if value != "" && !slices.Contains(all, value) {
		f.invalid("The parameter %s must be a value in the set %v.", parameter, all)
	}
	return string(value)
}

// window checks the times and the period of a query. Times are cut to what the
// period can tell apart.
func (f *faults) window(start, end *time.Time) (time.Time, time.Time) {
	if start == nil {
		f.missing("StartTime")
	}
	if end == nil {
		f.missing("EndTime")
	}
	if start == nil || end == nil {
		return time.Time{}, time.Time{}
	}
	switch {
	case start.Equal(*end):
		f.invalid("The parameter StartTime must not equal parameter EndTime.")
	case start.After(*end):
		f.invalid("The parameter StartTime must be less than the parameter EndTime.")
	}
	return *start, *end
}

func (f *faults) period(parameter string, seconds *int32) time.Duration {
	switch {
	case seconds == nil:
		f.missing(parameter)
		return time.Minute
	case *seconds > 0 && (*seconds%60 == 0 || slices.Contains([]int32{1, 5, 10, 20, 30}, *seconds)) && *seconds <= 86400:
		return time.Duration(*seconds) * time.Second
	}
	f.invalid("The parameter %s must be 1, 5, 10, 20, 30, or a multiple of 60 up to 86400.", parameter)
	return time.Minute
}

// aligned is the beginning of the first period: whole minutes, or, for shorter
// periods, whole periods.
func aligned(start time.Time, period time.Duration) time.Time {
	return start.Truncate(min(period, time.Minute))
}
