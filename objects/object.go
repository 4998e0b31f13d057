// Package objects tells of files as S3 tells of objects: it finds the files that
// are there or that appear in a folder, each once it is written whole, and makes
// the event message that S3 would send for it. It must not know of queues, nor of
// what is done with a message.
package objects

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Object is a file as an object of a bucket.
type Object struct {
	Bucket string
	// Key is the file's path below the bucket's folder, with slashes.
	Key  string
	Size int64 // bytes
	// ETag is the MD5 of the content, in hexadecimal, as S3 has it for what was
	// put in one part.
	ETag     string
	Modified time.Time
}

// ErrOutside is wrapped by Read's error for a file that is not below the folder.
var ErrOutside = errors.New("the file is not below the bucket's folder")

// Key is a file's key in the bucket that a folder is.
func Key(root, path string) (string, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return "", err
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", err
	}
	relative, err := filepath.Rel(root, path)
	if err != nil || relative == ".." || strings.HasPrefix(relative, "../") {
		return "", fmt.Errorf("%q: %w %q", path, ErrOutside, root)
	}
	return filepath.ToSlash(relative), nil
}

// Read reads a regular file as an object of the bucket that the folder root is.
func Read(root, bucket, path string) (Object, error) {
	key, err := Key(root, path)
	if err != nil {
		return Object{}, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe must not hold it up
	if err != nil {
		return Object{}, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return Object{}, err
	}
	if !info.Mode().IsRegular() {
		return Object{}, &fs.PathError{Op: "read", Path: path, Err: errors.New("it is not a regular file")}
	}
	sum := md5.New()
	size, err := io.Copy(sum, f)
	if err != nil {
		return Object{}, err
	}
	return Object{Bucket: bucket, Key: key, Size: size, ETag: hex.EncodeToString(sum.Sum(nil)), Modified: info.ModTime()}, nil
}

// The event's shape is that of the S3 user guide, "Event message structure",
// version 2.1.
type event struct {
	Records []record `json:"Records"`
}

type record struct {
	EventVersion      string            `json:"eventVersion"`
	EventSource       string            `json:"eventSource"`
	AWSRegion         string            `json:"awsRegion"`
	EventTime         string            `json:"eventTime"`
	EventName         string            `json:"eventName"`
	UserIdentity      identity          `json:"userIdentity"`
	RequestParameters map[string]string `json:"requestParameters"`
	ResponseElements  map[string]string `json:"responseElements"`
	S3                detail            `json:"s3"`
}

type identity struct {
	PrincipalID string `json:"principalId"`
}

type detail struct {
	SchemaVersion   string `json:"s3SchemaVersion"`
	ConfigurationID string `json:"configurationId"`
	Bucket          bucket `json:"bucket"`
	Object          object `json:"object"`
}

type bucket struct {
	Name          string   `json:"name"`
	OwnerIdentity identity `json:"ownerIdentity"`
	ARN           string   `json:"arn"`
}

type object struct {
	Key       string `json:"key"`
	Size      int64  `json:"size"`
	ETag      string `json:"eTag"`
	Sequencer string `json:"sequencer"`
}

// Created is the message that S3 sends when an object was put. Consumers compare
// the sequencers of one key as texts, so a later one has to be greater: it is
// made of now.
func (o Object) Created(region string, now time.Time) string {
	sequencer := fmt.Sprintf("%018X", now.UnixNano())
	one := record{
		EventVersion: "2.1", EventSource: "aws:s3", AWSRegion: region,
		EventTime: now.UTC().Format("2006-01-02T15:04:05.000Z"), EventName: "ObjectCreated:Put",
		UserIdentity:      identity{"plimsoll"},
		RequestParameters: map[string]string{"sourceIPAddress": "127.0.0.1"},
		ResponseElements:  map[string]string{"x-amz-request-id": sequencer},
		S3: detail{
			SchemaVersion: "1.0", ConfigurationID: "plimsoll put",
			Bucket: bucket{Name: o.Bucket, OwnerIdentity: identity{"plimsoll"}, ARN: "arn:aws:s3:::" + o.Bucket},
			Object: object{Key: encodeKey(o.Key), Size: o.Size, ETag: o.ETag, Sequencer: sequencer},
		},
	}
	text, _ := json.Marshal(event{[]record{one}}) // texts and numbers always have a JSON form
	return string(text)
}

// encodeKey writes a key as S3 does in events: as in a query, a space as a plus,
// but with its slashes.
func encodeKey(key string) string {
	return strings.ReplaceAll(url.QueryEscape(key), "%2F", "/")
}
