package ecs

import "testing"

func TestOfAllEventsOnlyTheNoticeOfASpotInstanceInterruptsIt(t *testing.T) {
	for event, want := range map[string]string{
		`{"source":"aws.ec2","detail-type":"EC2 Spot Instance Interruption Warning","detail":{"instance-id":"i-1","instance-action":"terminate"}}`: "i-1",
		`{"source":"aws.ec2","detail-type":"EC2 Instance State-change Notification","detail":{"instance-id":"i-1","state":"running"}}`:             "",
		`{"source":"mine","detail-type":"EC2 Spot Instance Interruption Warning","detail":{"instance-id":"i-1"}}`:                                  "",
		`{"source":"aws.ecs","detail-type":"ECS Task State Change","detail":{"taskArn":"arn"}}`:                                                    "",
		`{"source":"aws.ec2","detail-type":"EC2 Spot Instance Interruption Warning","detail":[]}`:                                                  "",
		`{`: "", "": "", "null": "",
	} {
		if got, _ := interruptedBy(event); got != want {
			t.Errorf("%s: %q, want %q", event, got, want)
		}
	}
}

func TestTheARNsOfInstancesAreThoseOfTheClustersPartition(t *testing.T) {
	for cluster, want := range map[string]string{
		"arn:aws:ecs:us-east-1:1:cluster/shop": "arn:aws:ec2:", "arn:aws-cn:ecs:cn-north-1:1:cluster/shop": "arn:aws-cn:ec2:",
	} {
		if got := instances(cluster); got != want {
			t.Errorf("%s: %q, want %q", cluster, got, want)
		}
	}
}
