package awsapi

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// algorithm is the only one that is accepted. (SigV4A has asymmetric keys that
// no local client uses.)
const algorithm = "AWS4-HMAC-SHA256"

const (
	timeFormat = "20060102T150405Z"
	dayFormat  = "20060102"
	// maxPresigned is the longest life of a presigned URL.
	maxPresigned = 7 * 24 * time.Hour
)

// scope is a credential as a request names it:
// KEY/20260102/us-east-1/ecs/aws4_request.
type scope struct {
	accessKeyID, day, region, service string
}

func (s scope) String() string {
	return s.day + "/" + s.region + "/" + s.service + "/aws4_request"
}

// authorization is what a request says about its own signature, in a header or
// in the query.
type authorization struct {
	scope
	signedHeaders []string // lower case, sorted
	signature     string
	at            time.Time
	token         string
	presigned     bool
	expires       time.Duration // presigned only
}

// readAuthorization finds the signature of a request in either form.
func readAuthorization(r *http.Request, query url.Values) (authorization, *Error) {
	header := r.Header.Values("Authorization")
	switch {
	case len(header) > 0 && query.Has("X-Amz-Signature"):
		return authorization{}, incomplete("A request is signed in the Authorization header or in the query, not in both.")
	case len(header) > 1:
		return authorization{}, incomplete("The request has %d Authorization headers; one is allowed.", len(header))
	case len(header) == 1:
		return headerAuthorization(header[0], r.Header)
	case query.Has("X-Amz-Algorithm") || query.Has("X-Amz-Signature"):
		return queryAuthorization(query)
	}
	return authorization{}, &Error{
		Code: "MissingAuthenticationTokenException", QueryCode: "MissingAuthenticationToken",
		Message: "Missing Authentication Token", QueryStatus: http.StatusForbidden,
	}
}

func headerAuthorization(header string, h http.Header) (authorization, *Error) {
	a, err := parseAuthorization(header)
	if err != nil {
		return a, err
	}
	a.token = h.Get("X-Amz-Security-Token")
	date := h.Get("X-Amz-Date")
	if date == "" {
		date = h.Get("Date")
	}
	for _, layout := range []string{timeFormat, http.TimeFormat} {
		at, problem := time.Parse(layout, date)
		if problem == nil {
			a.at = at.UTC()
			return a, nil
		}
	}
	if date == "" {
		return a, incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	return a, incomplete("Date must be in ISO-8601 'basic format'. Got '%s'.", date)
}

// parseAuthorization takes the value of an Authorization header apart.
func parseAuthorization(header string) (authorization, *Error) {
	var a authorization
	name, rest, _ := strings.Cut(strings.TrimSpace(header), " ")
	if name != algorithm {
		return a, incomplete("Unsupported AWS 'algorithm': '%s'. The only one is '%s'.", name, algorithm)
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if _, twice := parts[key]; !ok || twice {
			return a, incomplete("'%s' is not a valid key=value pair (missing equal-sign, or given twice) in Authorization header.", part)
		}
		parts[key] = value
	}
	for _, key := range []string{"Credential", "SignedHeaders", "Signature"} {
		if parts[key] == "" {
			return a, incomplete("Authorization header requires '%s' parameter.", key)
		}
	}
	return a, a.fill(parts["Credential"], parts["SignedHeaders"], parts["Signature"])
}

func queryAuthorization(query url.Values) (authorization, *Error) {
	a := authorization{presigned: true, token: query.Get("X-Amz-Security-Token")}
	for _, key := range []string{
		"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Signature",
	} {
		if len(query[key]) != 1 || query.Get(key) == "" {
			return a, incomplete("AWS query-string parameters must include '%s', once.", key)
		}
	}
	if got := query.Get("X-Amz-Algorithm"); got != algorithm {
		return a, incomplete("Unsupported AWS 'algorithm': '%s'. The only one is '%s'.", got, algorithm)
	}
	at, problem := time.Parse(timeFormat, query.Get("X-Amz-Date"))
	if problem != nil {
		return a, incomplete("X-Amz-Date must be in ISO-8601 'basic format'. Got '%s'.", query.Get("X-Amz-Date"))
	}
	a.at = at
	// Presigners of STS leave X-Amz-Expires out: the skew then bounds the life.
	a.expires = maxSkew
	if query.Has("X-Amz-Expires") {
		seconds, problem := strconv.Atoi(query.Get("X-Amz-Expires"))
		if problem != nil || seconds < 1 || seconds > int(maxPresigned/time.Second) {
			return a, incomplete("X-Amz-Expires must be a number from 1 to %d. Got '%s'.",
				maxPresigned/time.Second, query.Get("X-Amz-Expires"))
		}
		a.expires = time.Duration(seconds) * time.Second
	}
	return a, a.fill(query.Get("X-Amz-Credential"), query.Get("X-Amz-SignedHeaders"), query.Get("X-Amz-Signature"))
}

// fill sets what both forms have in common.
func (a *authorization) fill(credential, signedHeaders, signature string) *Error {
	parts := strings.Split(credential, "/")
	if len(parts) != 5 || slices.Contains(parts, "") || parts[4] != "aws4_request" {
		return incomplete("Credential must have exactly 5 slash-delimited elements, "+
			"e.g. keyid/date/region/service/aws4_request. Got '%s'.", credential)
	}
	a.scope = scope{accessKeyID: parts[0], day: parts[1], region: parts[2], service: parts[3]}
	a.signature = signature
	a.signedHeaders = strings.Split(signedHeaders, ";")
	if !slices.IsSorted(a.signedHeaders) || signedHeaders != strings.ToLower(signedHeaders) {
		return incomplete("SignedHeaders must be in lower case and in order. Got '%s'.", signedHeaders)
	}
	return nil
}

// incomplete is the refusal of a signature that cannot be read.
func incomplete(format string, args ...any) *Error {
	e := Refuse("IncompleteSignatureException", format, args...)
	e.QueryCode = "IncompleteSignature"
	return e
}
