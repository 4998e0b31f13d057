package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/rogpeppe/go-internal/testscript"
)

// queueCommands are those of scripts that look at an engine's queues:
//
//	await-engine STATE        waits until the engine with the state serves
//	make-queue STATE NAME     makes a queue
//	objects STATE NAME BUCKET/KEY=SIZE…   waits for these events, and deletes them; without any: makes sure that there is none
var queueCommands = map[string]func(*testscript.TestScript, bool, []string){
	"await-engine": func(ts *testscript.TestScript, _ bool, args []string) {
		for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
			_, err := running(ts.MkAbs(args[0]))
			if err == nil {
				return
			}
			if time.Now().After(end) {
				ts.Fatalf("the engine did not come within a minute: %v", err)
			}
		}
	},
	"make-queue": func(ts *testscript.TestScript, _ bool, args []string) {
		_, err := queueClient(ts, args[0]).CreateQueue(context.Background(), &sqs.CreateQueueInput{
			QueueName: &args[1], Attributes: fifoAttributes(args[1]),
		})
		ts.Check(err)
	},
	"objects": expectObjects,
}

func fifoAttributes(name string) map[string]string {
	if strings.HasSuffix(name, ".fifo") {
		return map[string]string{"FifoQueue": "true"}
	}
	return nil
}

func queueClient(ts *testscript.TestScript, state string) *sqs.Client {
	state = ts.MkAbs(state)
	run, err := running(state)
	ts.Check(err)
	text, err := os.ReadFile(filepath.Join(state, "credentials"))
	ts.Check(err)
	keys := profile(text, "default")
	return sqs.NewFromConfig(aws.Config{
		Region: run.Region, BaseEndpoint: &run.AWS,
		Credentials: credentials.NewStaticCredentialsProvider(keys["aws_access_key_id"], keys["aws_secret_access_key"], ""),
	})
}

func expectObjects(ts *testscript.TestScript, _ bool, args []string) {
	client, ctx := queueClient(ts, args[0]), context.Background()
	queue, err := client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &args[1]})
	ts.Check(err)
	var lines []string
	for end := time.Now().Add(time.Minute); len(lines) < len(args)-2 || len(args) == 2; {
		got, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: 1})
		ts.Check(err)
		for _, m := range got.Messages {
			var event struct {
				Records []struct {
					EventName string
					S3        struct {
						Bucket struct{ Name string }
						Object struct {
							Key  string
							Size json.Number
						}
					}
				}
			}
			ts.Check(json.Unmarshal([]byte(*m.Body), &event))
			r := event.Records[0]
			lines = append(lines, r.EventName+" "+r.S3.Bucket.Name+"/"+r.S3.Object.Key+"="+r.S3.Object.Size.String())
			_, err := client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: queue.QueueUrl, ReceiptHandle: m.ReceiptHandle})
			ts.Check(err)
		}
		if len(got.Messages) == 0 && (len(args) == 2 || time.Now().After(end)) {
			break
		}
	}
	slices.Sort(lines)
	want := slices.Clone(args[2:])
	for i := range want {
		want[i] = "ObjectCreated:Put " + want[i]
	}
	slices.Sort(want)
	if !slices.Equal(lines, want) {
		ts.Fatalf("the queue %s had\n%s\nwant\n%s", args[1], strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}
