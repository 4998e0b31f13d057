package runtime

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"sync"
)

// JoinLogs gives the output of several containers as one, line by line as it
// comes, each line with its container's name before it. It closes the logs
// that it was given when it is closed, or when all have ended.
func JoinLogs(names []string, logs []io.ReadCloser) io.ReadCloser {
	out, in := io.Pipe()
	j := &joinedLogs{PipeReader: out, logs: logs}
	var all sync.WaitGroup
	var line sync.Mutex
	for i, name := range names {
		all.Go(func() {
			if err := prefixLines(in, &line, name, logs[i]); err != nil {
				in.CloseWithError(err)
			}
		})
	}
	go func() {
		all.Wait()
		in.Close()
		j.closeLogs()
	}()
	return j
}

type joinedLogs struct {
	*io.PipeReader
	logs []io.ReadCloser
	once sync.Once
}

func (j *joinedLogs) closeLogs() {
	j.once.Do(func() {
		for _, l := range j.logs {
			l.Close()
		}
	})
}

// Close ends the reading of all the logs.
func (j *joinedLogs) Close() error {
	j.closeLogs()
	return j.PipeReader.Close()
}

func prefixLines(w io.Writer, mu *sync.Mutex, name string, log io.Reader) error {
	lines := bufio.NewReader(log)
	for {
		text, err := lines.ReadString('\n')
		if text != "" {
			mu.Lock()
			_, bad := fmt.Fprintf(w, "%s | %s\n", name, strings.TrimSuffix(text, "\n"))
			mu.Unlock()
			if bad != nil {
				return bad
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
