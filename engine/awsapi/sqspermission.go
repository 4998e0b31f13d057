package awsapi

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"plimsoll/engine/queue"
)

// Limits of AddPermission.
const (
	maxActions    = 7  // of a statement
	maxStatements = 20 // of a policy
	maxPrincipals = 50 // of a statement
)

// queuePolicy is a queue's policy as far as permissions change it; statements
// are kept as they are. A policy is kept and given back: there is one account
// here, and its key may do everything.
type queuePolicy struct {
	Version   string            `json:"Version"`
	ID        string            `json:"Id,omitempty"`
	Statement []json.RawMessage `json:"Statement"`
}

type queueStatement struct {
	Sid       string              `json:"Sid"`
	Effect    string              `json:"Effect"`
	Principal map[string][]string `json:"Principal"`
	Action    []string            `json:"Action"`
	Resource  string              `json:"Resource"`
}

// find is the index of the statement with the label; -1: there is none.
func (p *queuePolicy) find(label string) int {
	return slices.IndexFunc(p.Statement, func(raw json.RawMessage) bool {
		var s struct{ Sid string }
		return json.Unmarshal(raw, &s) == nil && s.Sid == label
	})
}

// editPolicy changes a queue's policy.
func (s *sqsService) editPolicy(call *Call, url *string, change func(name string, p *queuePolicy) error) error {
	name, err := queueName(call, url)
	if err != nil {
		return err
	}
	return sqsError(s.queues.Edit(name, func(c queue.Config) (map[string]string, map[string]string, error) {
		p := queuePolicy{Version: "2012-10-17", ID: queueARN(call, name) + "/SQSDefaultPolicy"}
		if old := c.Text(queue.Policy); old != "" {
			if err := json.Unmarshal([]byte(old), &p); err != nil {
				return nil, nil, sqsInvalid("Policy", name, "The policy that the queue has cannot be changed by label: "+err.Error())
			}
		}
		if err := change(name, &p); err != nil {
			return nil, nil, err
		}
		changed := "" // the last statement takes the policy with it
		if len(p.Statement) > 0 {
			text, err := json.Marshal(p)
			if err != nil {
				return nil, nil, err
			}
			changed = string(text)
		}
		return map[string]string{queue.Policy: changed}, c.Tags, nil
	}))
}

func (s *sqsService) addPermission(_ context.Context, call *Call, in *sqs.AddPermissionInput) (*sqs.AddPermissionOutput, error) {
	label := deref(in.Label)
	switch {
	case !queue.IsEntryID(label):
		return nil, sqsInvalid("Label", label, "Must be 1 to 80 alphanumeric characters, hyphens and underscores.")
	case len(in.AWSAccountIds) == 0 || len(in.AWSAccountIds) > maxPrincipals:
		return nil, sqsInvalid("PrincipalId", fmt.Sprint(in.AWSAccountIds), "Unable to verify: 1 to 50 account ids are needed.")
	case len(in.Actions) == 0:
		return nil, sqsMissing("Actions")
	case len(in.Actions) > maxActions:
		return nil, &Error{Code: "OverLimit", Message: fmt.Sprintf("%d Actions were found, maximum allowed is %d.", len(in.Actions), maxActions)}
	}
	statement := queueStatement{Sid: label, Effect: "Allow", Principal: map[string][]string{}}
	for _, id := range in.AWSAccountIds {
		if !isAccount(id) {
			return nil, sqsInvalid("PrincipalId", id, "Unable to verify: an account id has twelve digits.")
		}
		statement.Principal["AWS"] = append(statement.Principal["AWS"], "arn:aws:iam::"+id+":root")
	}
	for _, action := range in.Actions {
		if action != "*" && !s.operations[action] {
			return nil, sqsInvalid("ActionName", action, "Only the names of SQS's actions, and *, are allowed.")
		}
		statement.Action = append(statement.Action, "SQS:"+action)
	}
	return &sqs.AddPermissionOutput{}, s.editPolicy(call, in.QueueUrl, func(name string, p *queuePolicy) error {
		if p.find(label) >= 0 {
			return sqsInvalid("Label", label, "Already exists.")
		}
		if len(p.Statement) >= maxStatements {
			return &Error{Code: "OverLimit", Message: fmt.Sprintf("A policy has at most %d statements.", maxStatements)}
		}
		statement.Resource = queueARN(call, name)
		raw, err := json.Marshal(statement)
		p.Statement = append(p.Statement, raw)
		return err
	})
}

func isAccount(id string) bool {
	return len(id) == 12 && !slices.ContainsFunc([]byte(id), func(c byte) bool { return c < '0' || c > '9' })
}

func (s *sqsService) removePermission(_ context.Context, call *Call, in *sqs.RemovePermissionInput) (*sqs.RemovePermissionOutput, error) {
	label := deref(in.Label)
	return &sqs.RemovePermissionOutput{}, s.editPolicy(call, in.QueueUrl, func(_ string, p *queuePolicy) error {
		i := p.find(label)
		if i < 0 {
			return sqsInvalid("Label", label, "can't find label on existing policy.")
		}
		p.Statement = slices.Delete(p.Statement, i, i+1)
		return nil
	})
}
