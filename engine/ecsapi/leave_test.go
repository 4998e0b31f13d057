package ecsapi_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plimsoll"
)

// The 2016 pattern: a worker that finds no work reads its service's desired
// count, writes it back less one, and exits. Twenty do so at once, with the
// credentials of their own tasks, or, on a service that is tagged as
// cooperative, with the account's.
func TestTwentyWorkersThatFinishTogetherLeaveTheRightCountAndNoVictim(t *testing.T) {
	for _, own := range []bool{true, false} {
		s := newStand(t, "process", 8)
		s.register("worker")
		tag := []types.Tag{{Key: aws.String(plimsoll.TagCooperative), Value: aws.String("true")}}
		if own {
			tag = nil
		}
		if _, err := s.CreateService(t.Context(), &ecs.CreateServiceInput{
			ServiceName: aws.String("worker"), TaskDefinition: aws.String("worker"), DesiredCount: aws.Int32(30), Tags: tag,
		}); err != nil {
			t.Fatal(err)
		}
		s.steady("worker")
		all := s.tasks(ecs.ListTasksInput{ServiceName: aws.String("worker")})
		slices.Sort(all)
		var read, done sync.WaitGroup
		read.Add(20)
		for _, arn := range all[:20] {
			done.Go(func() { s.takesItselfOff(t, plimsoll.ARNName(arn), own, &read) })
		}
		done.Wait()
		got := s.steady("worker")
		if got.DesiredCount != 10 || got.RunningCount != 10 {
			t.Errorf("own credentials %t: %d of %d tasks run, want 10 of 10", own, got.RunningCount, got.DesiredCount)
		}
		for _, arn := range all[20:] {
			if state := s.task(arn); *state.DesiredStatus != "RUNNING" {
				t.Errorf("own credentials %t: a busy worker is %s: %s", own, *state.LastStatus, aws.ToString(state.StoppedReason))
			}
		}
	}
}

// takesItselfOff is the worker id's end. All read before any writes.
func (s *stand) takesItselfOff(t *testing.T, id string, own bool, read *sync.WaitGroup) {
	config := s.config()
	if own {
		key := s.keys.Issue(id, "arn:aws:iam::"+account+":role/worker", time.Now().Add(time.Hour))
		config.Credentials = credentials.NewStaticCredentialsProvider(key.AccessKeyID, key.SecretAccessKey, key.Token)
	}
	client := ecs.NewFromConfig(config)
	out, err := client.DescribeServices(t.Context(), &ecs.DescribeServicesInput{Services: []string{"worker"}})
	read.Done()
	if err != nil {
		t.Error(err)
		return
	}
	read.Wait()
	if _, err := client.UpdateService(t.Context(), &ecs.UpdateServiceInput{
		Service: aws.String("worker"), DesiredCount: aws.Int32(out.Services[0].DesiredCount - 1),
	}); err != nil {
		t.Error(err)
	}
	s.world.Exit(id, "main", 0)
}
