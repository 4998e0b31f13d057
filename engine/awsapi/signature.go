package awsapi

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxSkew is how far a signature's time may be from the endpoint's.
const maxSkew = 5 * time.Minute

// verifier checks signatures. Every refusal is in AWS's words and codes.
type verifier struct {
	region      string // the one that is served; empty: every one
	credentials Credentials
	now         func() time.Time
	keys        signingKeys
}

// verify checks the signature of a request whose body has been read whole. The
// canonical request is built from nothing but what was received.
func (v *verifier) verify(r *http.Request, body []byte) (Credential, scope, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return Credential{}, scope{}, incomplete("The query string cannot be read: %s.", err)
	}
	a, refusal := readAuthorization(r, query)
	if refusal != nil {
		return Credential{}, scope{}, refusal
	}
	credential, refusal := v.find(a)
	if refusal != nil {
		return Credential{}, scope{}, refusal
	}
	stated := statedPayload(r.Header, query)
	key, known := v.keys.of(credential.Secret, a.scope)
	checks := []*Error{v.checkTime(a), checkSignedHeaders(a, r.Header), checkPayload(stated, body)}
	if !known { // a key that is known is of a region that was good
		checks = append(checks, v.checkRegion(a))
	}
	for _, check := range checks {
		if check != nil {
			return Credential{}, scope{}, check
		}
	}
	want := sign(key, a, canonicalRequest(r, a, payloadHash(stated, body)))
	if subtle.ConstantTimeCompare([]byte(want), []byte(a.signature)) != 1 {
		return Credential{}, scope{}, invalidSignature("The request signature we calculated does not match the signature " +
			"you provided. Check your AWS Secret Access Key and signing method. " +
			"Consult the service documentation for details.")
	}
	if !known {
		v.keys.keep(credential.Secret, a.scope, key)
	}
	return credential, a.scope, nil
}

// find looks the access key up and holds the session token against it.
func (v *verifier) find(a authorization) (Credential, *Error) {
	c, ok := v.credentials.Lookup(a.accessKeyID, a.token)
	if !ok || subtle.ConstantTimeCompare([]byte(c.Token), []byte(a.token)) != 1 {
		return c, &Error{
			Code: "UnrecognizedClientException", QueryCode: "InvalidClientTokenId",
			Message:     "The security token included in the request is invalid.",
			QueryStatus: http.StatusForbidden,
		}
	}
	if !c.Expires.IsZero() && !v.now().Before(c.Expires) {
		return c, &Error{
			Code: "ExpiredTokenException", QueryCode: "ExpiredToken",
			Message:     "The security token included in the request is expired",
			QueryStatus: http.StatusForbidden,
		}
	}
	return c, nil
}

func (v *verifier) checkTime(a authorization) *Error {
	now := v.now().UTC()
	if a.day != a.at.Format(dayFormat) {
		return invalidSignature("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "+
			"'%s' != '%s', from '%s'.", a.day, a.at.Format(dayFormat), a.at.Format(timeFormat))
	}
	if a.at.After(now.Add(maxSkew)) {
		return invalidSignature("Signature not yet current: %s is still later than %s (%s + 5 min.)",
			a.at.Format(timeFormat), now.Add(maxSkew).Format(timeFormat), now.Format(timeFormat))
	}
	if a.presigned {
		if now.After(a.at.Add(a.expires)) {
			return &Error{Code: "RequestExpired", Message: "Request has expired.", QueryStatus: http.StatusForbidden}
		}
		return nil
	}
	if a.at.Before(now.Add(-maxSkew)) {
		e := invalidSignature("Signature expired: %s is now earlier than %s (%s - 5 min.)",
			a.at.Format(timeFormat), now.Add(-maxSkew).Format(timeFormat), now.Format(timeFormat))
		e.ec2 = "RequestExpired"
		return e
	}
	return nil
}

// regionName is the form of a region's name: us-east-1, us-gov-west-1.
var regionName = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]{2,12}){1,3}-[0-9]{1,2}$`)

func (v *verifier) checkRegion(a authorization) *Error {
	switch {
	case v.region == "" && !regionName.MatchString(a.region):
		return invalidSignature("Credential should be scoped to a valid region, such as us-east-1. Got '%s'.", a.region)
	case v.region != "" && a.region != v.region:
		return invalidSignature("Credential should be scoped to a valid region. This endpoint serves '%s'; "+
			"the request was signed for '%s': set AWS_REGION=%s.", v.region, a.region, v.region)
	}
	return nil
}

// checkSignedHeaders asks that whatever this endpoint acts on was signed.
func checkSignedHeaders(a authorization, h http.Header) *Error {
	if !slices.Contains(a.signedHeaders, "host") {
		return invalidSignature("'Host' must be a 'SignedHeader' in the AWS Authorization.")
	}
	for name := range h {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "x-amz-") && !slices.Contains(a.signedHeaders, lower) {
			return invalidSignature("'%s' must be a 'SignedHeader' in the AWS Authorization.", name)
		}
	}
	return nil
}

// statedPayload is what a client says the hash of the body is.
func statedPayload(h http.Header, query url.Values) string {
	if stated := h.Get("X-Amz-Content-Sha256"); stated != "" {
		return stated
	}
	return query.Get("X-Amz-Content-Sha256")
}

// checkPayload holds the payload hash that a client states against the body.
// As with AWS, an unsigned payload is for S3 and for operations that are marked
// so, and a streamed one for S3; no service here has either.
func checkPayload(stated string, body []byte) *Error {
	switch {
	case stated == "" || stated == hexHash(body):
		return nil
	case strings.HasPrefix(stated, "STREAMING-"):
		return invalidSignature("The payload is signed as '%s': streamed payloads are not accepted by this service. "+
			"Send the body whole, with its SHA-256.", stated)
	case stated == "UNSIGNED-PAYLOAD":
		return invalidSignature("The payload is signed as '%s': no operation of this service takes an unsigned payload. "+
			"Sign the body's SHA-256.", stated)
	}
	return invalidSignature("The provided 'x-amz-content-sha256' header, '%s', does not match what was computed: '%s'.",
		stated, hexHash(body))
}

func payloadHash(stated string, body []byte) string {
	if stated != "" {
		return stated // equal to the body's, or checkPayload has refused it
	}
	return hexHash(body)
}

// canonicalRequest is the form of a request that is signed.
func canonicalRequest(r *http.Request, a authorization, payload string) string {
	var b strings.Builder
	b.WriteString(r.Method)
	b.WriteByte('\n')
	b.WriteString(canonicalPath(r))
	b.WriteByte('\n')
	b.WriteString(canonicalQuery(r.URL.RawQuery))
	b.WriteByte('\n')
	for _, name := range a.signedHeaders {
		b.WriteString(name)
		b.WriteByte(':')
		b.WriteString(headerValue(r, name))
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	b.WriteString(strings.Join(a.signedHeaders, ";"))
	b.WriteByte('\n')
	b.WriteString(payload)
	return b.String()
}

// canonicalPath is the path as it was received, encoded once more: every
// service but S3 has it so.
func canonicalPath(r *http.Request) string {
	path := r.URL.EscapedPath()
	if path == "" {
		return "/"
	}
	var b strings.Builder
	for i := range len(path) {
		if c := path[i]; c == '/' || unreserved(c) {
			b.WriteByte(c)
		} else {
			escape(&b, c)
		}
	}
	return b.String()
}

// canonicalQuery sorts and re-encodes the query, without the signature itself.
func canonicalQuery(raw string) string {
	var pairs [][2]string
	for part := range strings.SplitSeq(raw, "&") {
		key, value, _ := strings.Cut(part, "=")
		key, err := url.QueryUnescape(key)
		if err != nil || part == "" || key == "X-Amz-Signature" {
			continue // a query that cannot be read was refused before
		}
		value, _ = url.QueryUnescape(value)
		pairs = append(pairs, [2]string{encode(key), encode(value)})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	var b strings.Builder
	for i, pair := range pairs {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(pair[0] + "=" + pair[1])
	}
	return b.String()
}

func headerValue(r *http.Request, name string) string {
	switch name {
	case "host":
		return r.Host
	case "content-length":
		if r.Header.Get("Content-Length") == "" {
			return strconv.FormatInt(r.ContentLength, 10)
		}
	}
	values := slices.Clone(r.Header.Values(name))
	for i, value := range values {
		values[i] = strings.Join(strings.Fields(value), " ")
	}
	return strings.Join(values, ",")
}

// sign gives the signature of a canonical request, in hexadecimal.
func sign(key []byte, a authorization, canonical string) string {
	toSign := algorithm + "\n" + a.at.UTC().Format(timeFormat) + "\n" + a.scope.String() + "\n" + hexHash([]byte(canonical))
	return hex.EncodeToString(mac(key, toSign))
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

func hexHash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func encode(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if unreserved(s[i]) {
			b.WriteByte(s[i])
		} else {
			escape(&b, s[i])
		}
	}
	return b.String()
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '_' || c == '.' || c == '~'
}

func escape(b *strings.Builder, c byte) {
	const digits = "0123456789ABCDEF"
	b.WriteByte('%')
	b.WriteByte(digits[c>>4])
	b.WriteByte(digits[c&15])
}

// invalidSignature is the refusal of a signature that does not hold.
func invalidSignature(format string, args ...any) *Error {
	e := Refuse("InvalidSignatureException", format, args...)
	e.QueryCode, e.QueryStatus = "SignatureDoesNotMatch", http.StatusForbidden
	return e
}
