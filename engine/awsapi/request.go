package awsapi

import (
	"bytes"
	"compress/gzip"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
)

// request is one HTTP request as far as its protocol is known from its headers:
// enough to refuse it in words that its client understands.
type request struct {
	http     *http.Request
	body     []byte
	services []*Service
	protocol protocol
	// service is what X-Amz-Target or Version names; nil if nobody has it.
	service *Service
	// name is the operation's.
	name string
	form url.Values // query protocol only
}

// protocol is how answers and inputs are written. There is one decoder and one
// error writer for each.
type protocol interface {
	decode(req *request, call *Call, into any) error
	write(w http.ResponseWriter, req *request, id string, out any)
	writeError(w http.ResponseWriter, req *request, id string, e *Error)
}

func newRequest(r *http.Request, body []byte, services []*Service) *request {
	req := &request{http: r, body: body, services: services}
	target := targetOf(r)
	switch {
	case r.Header.Get(smithyProtocol) == cborName:
		req.protocol = cborProtocol{}
		req.readPath()
		return req
	case target == "":
		req.protocol = queryProtocol{}
		req.readQuery()
		return req
	}
	version := "1.1"
	if strings.HasSuffix(r.Header.Get("Content-Type"), "-1.0") {
		version = "1.0"
	}
	prefix := ""
	if i := strings.LastIndexByte(target, '.'); i >= 0 {
		prefix, req.name = target[:i], target[i+1:]
	}
	for _, s := range services {
		if s.Target != "" && s.Target == prefix {
			req.service = s
			version = s.JSONVersion
		}
	}
	req.protocol = jsonProtocol{version: version}
	return req
}

// readPath reads what Smithy RPC v2 has in the path.
func (req *request) readPath() {
	var name string
	name, req.name = rpcPath(req.http.URL.Path)
	for _, s := range req.services {
		if s.CBOR && s.Target == name {
			req.service = s
		}
	}
}

// readQuery reads what the query protocol has in the form.
func (req *request) readQuery() {
	req.form = readForm(req.http, req.body)
	req.name = req.form.Get("Action")
	req.service = queryService(req.services, signedService(req.http), req.form.Get("Version"))
}

// inflate makes a compressed body plain: clients compress large ones, and sign
// what they send. It is called once the signature holds.
func (req *request) inflate(most int64) *Error {
	switch encoding := req.http.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
		return nil
	case "gzip":
	default:
		return &Error{Code: "UnsupportedMediaTypeException", Status: http.StatusUnsupportedMediaType,
			Message: "The body's Content-Encoding is '" + encoding + "'. The only one that is read is 'gzip'."}
	}
	plain, err := gzip.NewReader(bytes.NewReader(req.body))
	if err != nil {
		return notGzip(err)
	}
	if req.body, err = io.ReadAll(io.LimitReader(plain, most+1)); err != nil {
		return notGzip(err)
	}
	if int64(len(req.body)) > most {
		return tooLarge(most)
	}
	if req.form != nil {
		req.readQuery()
	}
	return nil
}

func notGzip(err error) *Error {
	return &Error{Code: "SerializationException", QueryCode: "MalformedInput", Message: "The body is not gzip: " + err.Error() + "."}
}

// errorType is the name of an error as the JSON and CBOR protocols write it. A
// client that asks for it is told the query protocol's name in a header.
func (req *request) errorType(w http.ResponseWriter, e *Error) string {
	w.Header().Set("x-amzn-errortype", e.Code)
	if req.service == nil {
		return e.Code
	}
	if req.service.QueryCompatible && req.http.Header.Get("X-Amzn-Query-Mode") == "true" {
		w.Header().Set("x-amzn-query-error", e.queryCode()+";"+e.fault())
	}
	return req.service.ErrorPrefix + e.Code
}

// queryService finds the service of a query. The version tells it, if only one
// service has that; the signature's scope tells apart those that share one. (It
// has not been verified yet: until then it only chooses the words of a refusal.)
func queryService(services []*Service, signed, version string) *Service {
	var found *Service
	for _, s := range services {
		if s.Version != "" && s.Version == version && (found == nil || s.Name == signed) {
			found = s
		}
	}
	return found
}

// signedService is the service that a request says it was signed for.
func signedService(r *http.Request) string {
	text := r.Header.Get("Authorization") + r.URL.Query().Get("X-Amz-Credential")
	_, text, _ = strings.Cut(text, "/")
	parts := strings.SplitN(text, "/", 4) // day, region, service, aws4_request
	if len(parts) < 4 {
		return ""
	}
	return parts[2]
}

// parameters are those of the operation. What the service has in its path
// (SQS's clients post to a queue's URL) is one of them.
func (req *request) parameters() url.Values {
	member := req.service.PathMember
	if member == "" || strings.Trim(req.http.URL.Path, "/") == "" || req.form.Has(member) {
		return req.form
	}
	form := maps.Clone(req.form)
	form.Set(member, req.endpoint()+req.http.URL.Path)
	return form
}

// targetOf is what a JSON request asks for. Presigners move the header into the
// query.
func targetOf(r *http.Request) string {
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		return target
	}
	return r.URL.Query().Get("X-Amz-Target")
}

// readForm reads the parameters of the query protocol. A part that cannot be
// read is left out: the signature will not hold then.
func readForm(r *http.Request, body []byte) url.Values {
	form := r.URL.Query()
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		posted, _ := url.ParseQuery(string(body))
		for key, values := range posted {
			form[key] = append(form[key], values...)
		}
	}
	return form
}

// check refuses a request for no service here, or for another one than the
// signature was made for.
func (req *request) check(signed string) error {
	if _, isQuery := req.protocol.(queryProtocol); isQuery && req.name == "" {
		return &Error{
			Code:    "MissingAction",
			Message: "The request names no operation: give X-Amz-Target (JSON), or the parameters Action and Version (Query).",
		}
	}
	if req.service == nil {
		return req.unknownService(signed)
	}
	if req.service.Name != signed {
		return invalidSignature("Credential should be scoped to correct service: '%s'.", req.service.Name)
	}
	return nil
}

func (req *request) unknownOperation() *Error {
	return &Error{
		Code: "UnknownOperationException", QueryCode: "InvalidAction",
		Message: "The action " + req.name + " is not one that this endpoint has for " + req.service.Name + ".",
	}
}

func (req *request) unknownService(signed string) *Error {
	var names []string
	for _, s := range req.services {
		names = append(names, s.Name)
	}
	return &Error{
		Code: "UnknownOperationException", QueryCode: "InvalidAction",
		Message: "This endpoint does not serve '" + req.target() + "' of the service '" + signed +
			"'. It serves: " + strings.Join(names, ", ") + ".",
	}
}

// target is what the request asked for, in its own words.
func (req *request) target() string {
	if _, isCBOR := req.protocol.(cborProtocol); isCBOR {
		return req.http.URL.Path
	}
	if target := targetOf(req.http); target != "" {
		return target
	}
	return req.name
}

func (req *request) decode(call *Call) func(any) error {
	return func(into any) error { return req.protocol.decode(req, call, into) }
}

// endpoint is the URL under which the client reached this endpoint.
func (req *request) endpoint() string {
	scheme := "http"
	if req.http.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + req.http.Host
}
