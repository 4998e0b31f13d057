package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"plimsoll/router"
)

const (
	firstPause = 200 * time.Millisecond
	longest    = 5 * time.Second // between two attempts
	answerMax  = 64 << 10
)

// send sends one batch until it is taken, or cannot be. rejected spans are those
// that the collector says it has not taken of a batch that it has.
func (e *Exporter) send(ctx context.Context, batch []*router.Span) (rejected int, err error) {
	body, err := proto.Marshal(e.message(batch))
	if err != nil {
		return 0, err
	}
	if e.o.Gzip {
		if body, err = zipped(body); err != nil {
			return 0, err
		}
	}
	for pause := firstPause; ; pause = min(2*pause, longest) {
		answer, after, err := e.post(ctx, body)
		if err == nil {
			return min(len(batch), rejectedIn(answer)), nil
		}
		if after < 0 {
			return 0, err
		}
		timer := time.NewTimer(max(pause, after))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return 0, errors.Join(err, ctx.Err())
		}
	}
}

func zipped(body []byte) ([]byte, error) {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(body)
	err = errors.Join(err, w.Close())
	return out.Bytes(), err
}

// post sends a body once. After an error, after is the time that the collector
// asks for before the next attempt, and under 0 where there is to be none.
func (e *Exporter) post(ctx context.Context, body []byte) (answer []byte, after time.Duration, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.o.Endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, -1, err
	}
	if e.o.Header != nil {
		request.Header = e.o.Header.Clone()
	}
	request.Header.Set("Content-Type", "application/x-protobuf")
	request.Header.Set("User-Agent", "plimsoll/"+e.o.Version)
	if e.o.Gzip {
		request.Header.Set("Content-Encoding", "gzip")
	}
	response, err := e.client.Do(request)
	if err != nil {
		return nil, 0, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(response.Body, answerMax))
	switch code := response.StatusCode; {
	case code >= 200 && code < 300:
		return answer, 0, nil // it has taken them, whatever became of its answer
	case code == http.StatusTooManyRequests, code == http.StatusBadGateway, code == http.StatusServiceUnavailable, code == http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
		return nil, time.Duration(max(0, seconds)) * time.Second, fmt.Errorf("the collector answers %s", response.Status)
	default:
		return nil, -1, errors.Join(fmt.Errorf("the collector answers %s: %q", response.Status, answer[:min(len(answer), 200)]), err)
	}
}

// The fields of ExportTraceServiceResponse that are read. Its generated type would
// bring gRPC with it.
const (
	partialSuccess = 1
	rejectedSpans  = 1
)

// rejectedIn is the number of spans that an answer says were not taken.
func rejectedIn(answer []byte) int {
	partial := fieldOf(answer, partialSuccess, protowire.BytesType)
	inner, n := protowire.ConsumeBytes(partial)
	if n < 0 {
		return 0
	}
	count, n := protowire.ConsumeVarint(fieldOf(inner, rejectedSpans, protowire.VarintType))
	if n < 0 || count > batchMax {
		return 0
	}
	return int(count)
}

// fieldOf is a message from the value of its first such field on; nil without one.
func fieldOf(message []byte, number protowire.Number, kind protowire.Type) []byte {
	for len(message) > 0 {
		got, as, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil
		}
		message = message[n:]
		if got == number && as == kind {
			return message
		}
		if n = protowire.ConsumeFieldValue(got, as, message); n < 0 {
			return nil
		}
		message = message[n:]
	}
	return nil
}
