package queue

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
)

// redrive is a RedrivePolicy: where messages go that were received too often.
type redrive struct {
	target string // ARN
	most   int    // receives
}

// count is a number that may be written as a text, as SQS allows.
type count int

func (n *count) UnmarshalJSON(text []byte) error {
	number, err := strconv.Atoi(strings.Trim(string(text), `"`))
	*n = count(number)
	return err
}

func readRedrive(text string) (redrive, error) {
	if text == "" {
		return redrive{}, nil
	}
	bad := func(reason string) (redrive, error) {
		return redrive{}, invalid(Redrive, text, reason)
	}
	var p struct {
		Target string `json:"deadLetterTargetArn"`
		Most   *count `json:"maxReceiveCount"`
	}
	if err := strict(text, &p); err != nil {
		return bad("Redrive policy is not a valid JSON map: " + err.Error() + ".")
	}
	switch {
	case p.Target == "":
		return bad("Redrive policy does not contain mandatory attribute: deadLetterTargetArn.")
	case p.Most == nil:
		return bad("Redrive policy does not contain mandatory attribute: maxReceiveCount.")
	case *p.Most < 1 || *p.Most > 1000:
		return bad("Invalid value for maxReceiveCount: must be from 1 to 1000.")
	case nameInARN(p.Target) == "":
		return bad("deadLetterTargetArn is not the ARN of a queue.")
	}
	return redrive{p.Target, int(*p.Most)}, nil
}

// String is the policy as SQS gives it back.
func (r redrive) String() string {
	if r.target == "" {
		return ""
	}
	target, _ := json.Marshal(r.target) // a text always has a JSON form
	return `{"deadLetterTargetArn":` + string(target) + `,"maxReceiveCount":` + strconv.Itoa(r.most) + `}`
}

// redriveAllow is a RedriveAllowPolicy: whose dead letters a queue takes.
type redriveAllow struct {
	Permission string   `json:"redrivePermission"`
	Sources    []string `json:"sourceQueueArns"`
}

func readRedriveAllow(text string) (redriveAllow, error) {
	p := redriveAllow{Permission: "allowAll"}
	if text == "" {
		return p, nil
	}
	if err := strict(text, &p); err != nil {
		return p, invalid(RedriveAllow, text, "Amazon SQS can't create the redrive allow policy, it is not a valid JSON map: "+err.Error()+".")
	}
	switch {
	case !slices.Contains([]string{"allowAll", "denyAll", "byQueue"}, p.Permission):
		return p, invalid(RedriveAllow, text, "redrivePermission must be allowAll, denyAll or byQueue.")
	case p.Permission == "byQueue" && (len(p.Sources) == 0 || len(p.Sources) > 10):
		return p, invalid(RedriveAllow, text, "byQueue needs 1 to 10 sourceQueueArns.")
	case p.Permission != "byQueue" && len(p.Sources) > 0:
		return p, invalid(RedriveAllow, text, "sourceQueueArns can only be given with byQueue.")
	case slices.ContainsFunc(p.Sources, func(arn string) bool { return nameInARN(arn) == "" }):
		return p, invalid(RedriveAllow, text, "sourceQueueArns has what is not the ARN of a queue.")
	}
	return p, nil
}

// allows tells whether the dead letters of a queue are taken.
func (p redriveAllow) allows(source string) bool {
	return p.Permission == "allowAll" || slices.ContainsFunc(p.Sources, func(arn string) bool { return nameInARN(arn) == source })
}

// nameInARN is the queue's name in arn:aws:sqs:REGION:ACCOUNT:NAME; empty if it
// is none.
func nameInARN(arn string) string {
	parts := strings.Split(arn, ":")
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "sqs" {
		return ""
	}
	return parts[5]
}

// strict reads one JSON object without members that nobody knows.
func strict(text string, into any) error {
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("it goes on after the end of the map")
	}
	return nil
}
