package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"plimsoll/objects"
)

// PutOptions are those of `plimsoll put`.
type PutOptions struct {
	Queue string // URL or name
	Files []string
	// Root is the folder that the keys begin at; empty: Watch, or the current
	// folder. Bucket is its name as a bucket; empty: the folder's own.
	Root, Bucket string
	// Watch is a folder whose files are sent as they appear; empty: none.
	Watch    string
	Existing bool     // send what is there already, too
	Ignore   []string // patterns of names that are left out of Watch
	// Endpoint, Region, AccessKey and Secret are those of the SQS endpoint; an
	// empty Endpoint: as the AWS environment says.
	Endpoint, Region, AccessKey, Secret string
	Out, Err                            io.Writer
}

const (
	putBatch = 10 // messages
	// putRetryMost is the longest wait between two tries of a send while a
	// folder is watched.
	putRetryMost = 30 * time.Second
)

// Put sends a message in the shape of S3's events for each file: for those named,
// and, if a folder is watched, for those that appear there until ctx ends.
func Put(ctx context.Context, o PutOptions) error {
	if o.Root == "" {
		o.Root = o.Watch
	}
	root, err := filepath.Abs(o.Root)
	if err != nil {
		return err
	}
	o.Root = root
	if o.Bucket == "" {
		o.Bucket = filepath.Base(root)
	}
	var w *objects.Watcher
	if o.Watch != "" {
		if w, err = objects.NewWatcher(objects.Options{Root: filepath.Clean(o.Watch), Existing: o.Existing, Ignore: o.Ignore}); err != nil {
			return err
		}
		defer func() { _ = w.Close() }()
	}
	p := &putter{PutOptions: o}
	if err := p.connect(ctx); err != nil {
		return err
	}
	for files := o.Files; len(files) > 0; {
		n := min(putBatch, len(files))
		entries, err := p.entries(files[:n], false)
		if err == nil {
			_, err = p.send(ctx, entries)
		}
		if err != nil {
			return err
		}
		files = files[n:]
	}
	if w == nil {
		return nil
	}
	return p.follow(ctx, w)
}

// putter sends events to one queue.
type putter struct {
	PutOptions
	client *sqs.Client
	url    string
}

// connect finds the queue.
func (p *putter) connect(ctx context.Context) error {
	var cfg aws.Config
	if p.Endpoint != "" {
		cfg = aws.Config{
			Region: p.Region, BaseEndpoint: &p.Endpoint,
			Credentials: credentials.NewStaticCredentialsProvider(p.AccessKey, p.Secret, ""),
		}
	} else {
		var err error
		if cfg, err = config.LoadDefaultConfig(ctx); err != nil {
			return err
		}
	}
	p.Region = cfg.Region
	p.client = sqs.NewFromConfig(cfg)
	if strings.Contains(p.Queue, "://") {
		p.url = p.Queue
		return nil
	}
	found, err := p.client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &p.Queue})
	if err != nil {
		return fmt.Errorf("the queue %q: %w", p.Queue, err)
	}
	p.url = *found.QueueUrl
	return nil
}

// follow sends what appears. It repeats a send until it is answered: the engine
// may be on its way back.
func (p *putter) follow(ctx context.Context, w *objects.Watcher) error {
	for {
		paths, err := w.Next(ctx, putBatch)
		if ctx.Err() != nil {
			return nil // Ctrl-C is how it ends
		}
		if err != nil {
			return err
		}
		entries, err := p.entries(paths, true)
		if err != nil {
			return err
		}
		for wait := 100 * time.Millisecond; len(entries) > 0; wait = min(2*wait, putRetryMost) {
			var refused *refusedError
			entries, err = p.send(ctx, entries)
			if err == nil {
				break
			}
			if errors.As(err, &refused) {
				return err
			}
			_, _ = fmt.Fprintf(p.Err, "plimsoll: %v; trying again in %s\n", err, wait)
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return fmt.Errorf("%d files were not sent, the first is %q", len(entries), entries[0].key)
			}
		}
	}
}

// entry is a file's message.
type entry struct {
	types.SendMessageBatchRequestEntry
	key string
}

// entries reads files and makes their messages. One that is gone is an error, or
// left out.
func (p *putter) entries(paths []string, leaveOut bool) ([]entry, error) {
	var entries []entry
	for i, path := range paths {
		o, err := objects.Read(p.Root, p.Bucket, path)
		if leaveOut && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if leaveOut && errors.Is(err, fs.ErrPermission) {
			_, _ = fmt.Fprintf(p.Err, "plimsoll: left out: %v\n", err)
			continue
		}
		if err != nil {
			return nil, err
		}
		e := entry{key: o.Key}
		e.Id, e.MessageBody = aws.String(strconv.Itoa(i)), aws.String(o.Created(p.Region, time.Now()))
		if strings.HasSuffix(p.url, ".fifo") {
			sum := sha256.Sum256([]byte(o.Bucket + "\n" + o.Key + "\n" + o.ETag + "\n" + o.Modified.String()))
			e.MessageGroupId, e.MessageDeduplicationId = aws.String(groupID(o.Key)), aws.String(hex.EncodeToString(sum[:]))
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// groupID makes a group of each key, so that a file's versions stay in order and
// files do not wait for each other.
func groupID(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// refusedError is of a message that the queue does not take: trying again is of
// no use.
type refusedError struct{ error }

// send sends a batch and prints what was sent. It gives what is left to be sent,
// with the reason.
func (p *putter) send(ctx context.Context, entries []entry) ([]entry, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	batch := make([]types.SendMessageBatchRequestEntry, len(entries))
	byID := map[string]entry{}
	for i, e := range entries {
		batch[i], byID[*e.Id] = e.SendMessageBatchRequestEntry, e
	}
	out, err := p.client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &p.url, Entries: batch})
	if err != nil {
		return entries, fmt.Errorf("sending to the queue %q: %w", p.Queue, err)
	}
	for _, sent := range out.Successful {
		_, _ = fmt.Fprintf(p.Out, "%s %s\n", *sent.MessageId, byID[*sent.Id].key)
	}
	var left []entry
	for _, f := range out.Failed {
		e := byID[aws.ToString(f.Id)]
		left = append(left, e)
		if problem := fmt.Errorf("the message for %q: %s: %s", e.key, aws.ToString(f.Code), aws.ToString(f.Message)); err == nil || f.SenderFault {
			err = problem
			if f.SenderFault {
				err = &refusedError{problem}
			}
		}
	}
	return left, err
}
