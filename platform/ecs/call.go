package ecs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/smithy-go"

	"plimsoll/platform"
)

// call makes one call of an API, whose clients have their own Options, within the
// bound on parallel calls and the time-out of one.
func call[In, Out, Options any](ctx context.Context, c *Cluster,
	operation func(context.Context, *In, ...func(*Options)) (*Out, error), in *In,
) (*Out, error) {
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-c.slots }()
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return operation(ctx, in)
}

// pager is a paginator of the SDK.
type pager[Out any] interface {
	HasMorePages() bool
	NextPage(context.Context, ...func(*awsecs.Options)) (*Out, error)
}

// eachPage reads every page of a list, one after the other.
func eachPage[Out any](ctx context.Context, c *Cluster, pages pager[Out], visit func(*Out)) error {
	next := func(ctx context.Context, _ *struct{}, options ...func(*awsecs.Options)) (*Out, error) {
		return pages.NextPage(ctx, options...)
	}
	for pages.HasMorePages() {
		page, err := call(ctx, c, next, nil)
		if err != nil {
			return err
		}
		visit(page)
	}
	return nil
}

// problem says what was being done to which cluster, and marks the errors that
// mean that something does not exist.
func (c *Cluster) problem(doing string, err error) error {
	if isNotFound(err) {
		return fmt.Errorf("cluster %q: %s: %w: %w", c.name, doing, platform.ErrNotFound, err)
	}
	return fmt.Errorf("cluster %q: %s: %w", c.name, doing, err)
}

func isNotFound(err error) bool {
	var refusal smithy.APIError
	if !errors.As(err, &refusal) {
		return false
	}
	switch refusal.ErrorCode() {
	case "ClusterNotFoundException", "ServiceNotFoundException", "ServiceNotActiveException", "ResourceNotFoundException":
		return true
	case "InvalidParameterException":
		// ECS has no code of its own for an unknown task.
		return strings.Contains(refusal.ErrorMessage(), "task was not found")
	}
	return false
}

// isClientException tells whether ECS refused with its general code, which is
// also its answer for a task definition that does not exist.
func isClientException(err error) bool {
	var refusal *types.ClientException
	return errors.As(err, &refusal)
}

// missing checks that every thing asked for was either described or reported
// MISSING, which is how eventual consistency shows: it was listed, and is gone
// or not there yet. Any other failure means that the answer is not whole.
func missing(kind string, asked, described int, failures []types.Failure) error {
	gone := 0
	for _, f := range failures {
		if aws.ToString(f.Reason) != "MISSING" {
			return fmt.Errorf("%s %q: %s %s", kind, aws.ToString(f.Arn), aws.ToString(f.Reason), aws.ToString(f.Detail))
		}
		gone++
	}
	if described+gone < asked {
		return fmt.Errorf("%d %ss were asked for, %d described and %d reported missing: the answer is not whole",
			asked, kind, described, gone)
	}
	return nil
}

func sortedKeys[V any](set map[string]V) []string { return slices.Sorted(maps.Keys(set)) }
