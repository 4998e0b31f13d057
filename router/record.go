package router

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Record is one line of the access log.
type Record struct {
	At       time.Time
	Took     time.Duration
	Client   string // address
	User     string
	Method   string
	URI      string
	Proto    string
	Host     string
	Status   int // 499: the client went away
	Bytes    int64
	Service  string
	Task     string
	Referer  string
	Agent    string
	Attempts int
	Trace    string // traceparent, if there is one
}

// Formats of an access log.
const (
	FormatJSON   = "json"
	FormatCommon = "common" // the combined log format of Apache's httpd
)

// AccessLog writes records to a file, or to standard output. Rotation is left
// to others: they move the file and call Reopen.
type AccessLog struct {
	path, format string

	mu   sync.Mutex
	out  io.Writer
	file *os.File
	json *slog.Logger
}

// OpenAccessLog opens the log; "-" is standard output.
func OpenAccessLog(path, format string) (*AccessLog, error) {
	if format != FormatJSON && format != FormatCommon {
		return nil, fmt.Errorf("format %q of the access log is unknown; allowed: %q, %q", format, FormatJSON, FormatCommon)
	}
	l := &AccessLog{path: path, format: format, out: os.Stdout}
	return l, l.Reopen()
}

// Reopen opens the file anew, which may have been moved. On an error the former
// one stays.
func (l *AccessLog) Reopen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.path != "-" {
		file, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
		if err != nil {
			return fmt.Errorf("access log: %w", err)
		}
		if l.file != nil {
			l.file.Close()
		}
		l.file, l.out = file, file
	}
	l.json = slog.New(slog.NewJSONHandler(l.out, nil))
	return nil
}

// Close closes the file.
func (l *AccessLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// Write writes one record.
func (l *AccessLog) Write(r Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.format == FormatCommon {
		_, _ = io.WriteString(l.out, r.common()) // a full disk must not end requests
		return
	}
	l.json.LogAttrs(context.Background(), slog.LevelInfo, "request",
		slog.Duration("took", r.Took), slog.String("client", r.Client), slog.String("user", r.User),
		slog.String("method", r.Method), slog.String("host", r.Host), slog.String("uri", r.URI), slog.String("proto", r.Proto),
		slog.Int("status", r.Status), slog.Int64("bytes", r.Bytes), slog.String("service", r.Service), slog.String("task", r.Task),
		slog.Int("attempts", r.Attempts), slog.String("referer", r.Referer), slog.String("agent", r.Agent), slog.String("traceparent", r.Trace))
}

// common is the record in the combined log format.
func (r Record) common() string {
	dash := func(s string) string {
		if s == "" {
			return "-"
		}
		return s
	}
	// A client may say any name, with a line's end in it too.
	user := strconv.Quote(strings.ReplaceAll(r.User, " ", "_"))
	return fmt.Sprintf("%s - %s [%s] %q %d %d %q %q\n", dash(r.Client), dash(user[1:len(user)-1]),
		r.At.Format("02/Jan/2006:15:04:05 -0700"), r.Method+" "+r.URI+" "+r.Proto, r.Status, r.Bytes, dash(r.Referer), dash(r.Agent))
}

// counted counts the bytes of an answer's body.
type counted struct {
	http.ResponseWriter
	bytes int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.bytes += int64(n)
	return n, err
}

// Unwrap is http.ResponseController's way to the writer below.
func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// shown is a status as logs have it.
func shown(status int) int {
	if status == statusClientGone {
		return 499
	}
	return status
}

// record begins the record of a request; done writes it.
func (x *exchange) record(w http.ResponseWriter) (done func()) {
	log := x.router.options.Access
	if log == nil || !x.route.Log {
		return func() {}
	}
	began, counter := time.Now(), &counted{ResponseWriter: w}
	x.w = counter
	user, _, _ := x.request.BasicAuth()
	return func() {
		client := ""
		if x.from.client.IsValid() {
			client = x.from.client.String()
		}
		log.Write(Record{
			At: began, Took: time.Since(began), Client: client, User: user,
			Method: x.request.Method, URI: x.request.RequestURI, Proto: x.request.Proto, Host: x.request.Host,
			Status: shown(x.status), Bytes: counter.bytes, Service: x.service.name, Task: x.task, Attempts: x.sent,
			Referer: x.request.Referer(), Agent: x.request.UserAgent(), Trace: x.request.Header.Get("Traceparent"),
		})
	}
}
