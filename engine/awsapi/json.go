package awsapi

import (
	"net/http"
	"reflect"
	"strconv"
	"sync"
)

// answers are buffers for answers: growing one took more than half of what a long
// list's answer allocated.
var answers = sync.Pool{New: func() any { return new([]byte) }}

// largestKept is the largest buffer, in bytes, that is used again.
const largestKept = 256 << 10

// jsonProtocol is AWS JSON 1.0 and 1.1; they differ in the content type.
type jsonProtocol struct{ version string }

func (p jsonProtocol) decode(req *request, call *Call, into any) error {
	tree, err := req.service.Codec.decode(req.body, into)
	call.tree = tree
	if err != nil {
		return &Error{Code: "SerializationException", Message: err.Error()}
	}
	return nil
}

func (p jsonProtocol) write(w http.ResponseWriter, req *request, id string, out any) {
	buffer := answers.Get().(*[]byte)
	defer answers.Put(buffer)
	body, err := req.service.Codec.append((*buffer)[:0], reflect.ValueOf(out))
	if cap(body) <= largestKept {
		*buffer = body[:0]
	}
	if err != nil {
		p.writeError(w, req, id, internalFailure(err))
		return
	}
	p.send(w, http.StatusOK, body)
}

func (p jsonProtocol) writeError(w http.ResponseWriter, req *request, _ string, e *Error) {
	body := appendString([]byte(`{"__type":`), req.errorType(w, e))
	body = appendString(append(body, `,"message":`...), e.Message)
	for i, arn := range e.Resources {
		if body = append(body, ','); i == 0 {
			body = append(body, `"resourceIds":[`...)
		}
		body = appendString(body, arn)
	}
	if len(e.Resources) > 0 {
		body = append(body, ']')
	}
	body = append(body, '}')
	p.send(w, e.status(), body)
}

func (p jsonProtocol) send(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/x-amz-json-"+p.version)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has gone away is told nothing
}
