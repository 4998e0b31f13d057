package awsapi

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"plimsoll/engine/queue"
)

// maxQueueList is the most and the usual number of queues on a page.
const maxQueueList = 1000

func (s *sqsService) createQueue(_ context.Context, call *Call, in *sqs.CreateQueueInput) (*sqs.CreateQueueOutput, error) {
	if in.QueueName == nil {
		return nil, sqsMissing("QueueName")
	}
	if err := checkPolicyARNs(call, in.Attributes); err != nil {
		return nil, err
	}
	if err := s.queues.Create(*in.QueueName, in.Attributes, in.Tags); err != nil {
		return nil, sqsError(err)
	}
	return &sqs.CreateQueueOutput{QueueUrl: queueURL(call, *in.QueueName)}, nil
}

// checkPolicyARNs refuses a dead-letter queue of another account or region.
func checkPolicyARNs(call *Call, attributes map[string]string) error {
	var p struct {
		Target  string   `json:"deadLetterTargetArn"`
		Sources []string `json:"sourceQueueArns"`
	}
	for _, name := range []string{queue.Redrive, queue.RedriveAllow} {
		// What cannot be read is refused, in its own words, by the queues.
		if json.Unmarshal([]byte(attributes[name]), &p) != nil {
			continue
		}
		if p.Target != "" {
			p.Sources = append(p.Sources, p.Target)
		}
		for _, arn := range p.Sources {
			if queueOfARN(call, arn) == "" {
				return sqsInvalid(name, attributes[name], fmt.Sprintf("%q is not the ARN of a queue here: they begin with %s.", arn, queueARN(call, "")))
			}
		}
	}
	return nil
}

func (s *sqsService) getQueueURL(_ context.Context, call *Call, in *sqs.GetQueueUrlInput) (*sqs.GetQueueUrlOutput, error) {
	if in.QueueName == nil {
		return nil, sqsMissing("QueueName")
	}
	owner := in.QueueOwnerAWSAccountId
	if owner != nil && *owner != call.Account || !s.queues.Exists(*in.QueueName) {
		return nil, sqsError(&queue.Error{
			Code: "QueueDoesNotExist", Message: fmt.Sprintf("The specified queue %q does not exist.", *in.QueueName),
		})
	}
	return &sqs.GetQueueUrlOutput{QueueUrl: queueURL(call, *in.QueueName)}, nil
}

func (s *sqsService) listQueues(_ context.Context, call *Call, in *sqs.ListQueuesInput) (*sqs.ListQueuesOutput, error) {
	prefix := deref(in.QueueNamePrefix)
	urls, next, err := pageOfQueues(call, s.queues.Names(prefix), "ListQueues "+prefix, in.MaxResults, in.NextToken)
	return &sqs.ListQueuesOutput{QueueUrls: urls, NextToken: next}, err
}

func (s *sqsService) listDeadLetterSourceQueues(_ context.Context, call *Call, in *sqs.ListDeadLetterSourceQueuesInput) (*sqs.ListDeadLetterSourceQueuesOutput, error) {
	name, err := queueName(call, in.QueueUrl)
	if err != nil {
		return nil, err
	}
	sources, err := s.queues.Sources(name)
	if err != nil {
		return nil, sqsError(err)
	}
	urls, next, err := pageOfQueues(call, sources, "ListDeadLetterSourceQueues "+name, in.MaxResults, in.NextToken)
	if urls == nil {
		urls = []string{} // the model requires the list
	}
	return &sqs.ListDeadLetterSourceQueuesOutput{QueueUrls: urls, NextToken: next}, err
}

// pageOfQueues gives the URLs of a page of names.
func pageOfQueues(call *Call, names []string, list string, maxResults *int32, token *string) ([]string, *string, error) {
	most := maxQueueList
	if maxResults != nil {
		most = int(*maxResults)
	}
	if most < 1 || most > maxQueueList {
		return nil, nil, sqsInvalid("MaxResults", most, "MaxResults must be an integer between 1 and 1000.")
	}
	key := func(name string) string { return name }
	page, next, err := Page(names, key, Paging{List: list, Max: most, Token: deref(token)})
	if err != nil {
		return nil, nil, sqsInvalid("NextToken", deref(token), "The token is not one that was given for this list.")
	}
	var urls []string
	for _, name := range page {
		urls = append(urls, *queueURL(call, name))
	}
	return urls, text(next), nil
}

func (s *sqsService) deleteQueue(_ context.Context, call *Call, in *sqs.DeleteQueueInput) (*sqs.DeleteQueueOutput, error) {
	name, err := queueName(call, in.QueueUrl)
	if err == nil {
		err = sqsError(s.queues.Delete(name))
	}
	return &sqs.DeleteQueueOutput{}, err
}

func (s *sqsService) purgeQueue(_ context.Context, call *Call, in *sqs.PurgeQueueInput) (*sqs.PurgeQueueOutput, error) {
	name, err := queueName(call, in.QueueUrl)
	if err == nil {
		err = sqsError(s.queues.Purge(name))
	}
	return &sqs.PurgeQueueOutput{}, err
}

func (s *sqsService) setQueueAttributes(_ context.Context, call *Call, in *sqs.SetQueueAttributesInput) (*sqs.SetQueueAttributesOutput, error) {
	name, err := queueName(call, in.QueueUrl)
	if err == nil {
		err = checkPolicyARNs(call, in.Attributes)
	}
	if err == nil {
		err = sqsError(s.queues.SetAttributes(name, in.Attributes))
	}
	return &sqs.SetQueueAttributesOutput{}, err
}

func (s *sqsService) getQueueAttributes(_ context.Context, call *Call, in *sqs.GetQueueAttributesInput) (*sqs.GetQueueAttributesOutput, error) {
	name, err := queueName(call, in.QueueUrl)
	if err != nil {
		return nil, err
	}
	info, err := s.queues.Info(name)
	if err != nil {
		return nil, sqsError(err)
	}
	all := info.All()
	maps.Copy(all, map[string]string{
		"QueueArn":                              queueARN(call, name),
		"CreatedTimestamp":                      strconv.FormatInt(info.Created.Unix(), 10),
		"LastModifiedTimestamp":                 strconv.FormatInt(info.Modified.Unix(), 10),
		"ApproximateNumberOfMessages":           strconv.Itoa(info.Depth.Visible),
		"ApproximateNumberOfMessagesNotVisible": strconv.Itoa(info.Depth.InFlight),
		"ApproximateNumberOfMessagesDelayed":    strconv.Itoa(info.Depth.Delayed),
	})
	out := &sqs.GetQueueAttributesOutput{}
	for _, wanted := range in.AttributeNames {
		if wanted == types.QueueAttributeNameAll {
			out.Attributes = all
			break
		}
		if value, ok := all[string(wanted)]; ok {
			if out.Attributes == nil {
				out.Attributes = map[string]string{}
			}
			out.Attributes[string(wanted)] = value
		} else if !slices.Contains(wanted.Values(), wanted) {
			return nil, &Error{Code: "InvalidAttributeName", Message: fmt.Sprintf("Unknown Attribute %s.", wanted)}
		} // what is not set is left out, as in SQS
	}
	return out, nil
}

// editTags changes a queue's tags.
func (s *sqsService) editTags(call *Call, url *string, change func(tags map[string]string)) error {
	name, err := queueName(call, url)
	if err != nil {
		return err
	}
	return sqsError(s.queues.Edit(name, func(c queue.Config) (map[string]string, map[string]string, error) {
		tags := map[string]string{}
		maps.Copy(tags, c.Tags)
		change(tags)
		return nil, tags, nil
	}))
}

func (s *sqsService) tagQueue(_ context.Context, call *Call, in *sqs.TagQueueInput) (*sqs.TagQueueOutput, error) {
	if len(in.Tags) == 0 {
		return nil, sqsMissing("Tags")
	}
	return &sqs.TagQueueOutput{}, s.editTags(call, in.QueueUrl, func(tags map[string]string) { maps.Copy(tags, in.Tags) })
}

func (s *sqsService) untagQueue(_ context.Context, call *Call, in *sqs.UntagQueueInput) (*sqs.UntagQueueOutput, error) {
	if len(in.TagKeys) == 0 {
		return nil, sqsMissing("TagKeys")
	}
	return &sqs.UntagQueueOutput{}, s.editTags(call, in.QueueUrl, func(tags map[string]string) {
		for _, key := range in.TagKeys {
			delete(tags, key)
		}
	})
}

func (s *sqsService) listQueueTags(_ context.Context, call *Call, in *sqs.ListQueueTagsInput) (*sqs.ListQueueTagsOutput, error) {
	name, err := queueName(call, in.QueueUrl)
	if err != nil {
		return nil, err
	}
	info, err := s.queues.Info(name)
	if err != nil {
		return nil, sqsError(err)
	}
	out := &sqs.ListQueueTagsOutput{}
	if len(info.Tags) > 0 {
		out.Tags = info.Tags
	}
	return out, nil
}
