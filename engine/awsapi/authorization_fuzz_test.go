package awsapi

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

func FuzzAuthorization(f *testing.F) {
	for _, seed := range []string{
		"AWS4-HMAC-SHA256 Credential=AKID/20260301/us-east-1/ecs/aws4_request, SignedHeaders=host;x-amz-date, Signature=00ff",
		"AWS4-HMAC-SHA256 Credential=AKID/20260301/us-east-1/ecs/aws4_request,SignedHeaders=host,Signature=0,Signature=1",
		"AWS4-HMAC-SHA256 Credential=////aws4_request, SignedHeaders=;;, Signature==",
		"AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 ", "Bearer x", "", ",=,=,", "AWS4-HMAC-SHA256 Credential",
	} {
		f.Add(seed, "X-Amz-Signature=1&X-Amz-Algorithm=AWS4-HMAC-SHA256")
	}
	keys := Keys{AccessKeyID: "AKID", Secret: "secret", Account: "1"}
	v := verifier{region: "us-east-1", credentials: keys, now: func() time.Time { return time.Unix(1772366400, 0) }}
	f.Fuzz(func(t *testing.T, header, query string) {
		if a, err := parseAuthorization(header); err == nil {
			if a.accessKeyID == "" || a.service == "" || a.signature == "" || len(a.signedHeaders) == 0 {
				t.Errorf("%q was read as %+v", header, a)
			}
			if !slices.IsSorted(a.signedHeaders) {
				t.Errorf("%q: headers out of order", header)
			}
		}
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(""))
		r.Header.Set("Authorization", header)
		r.URL = &url.URL{Path: "/", RawQuery: query}
		if _, _, err := v.verify(r, nil); err == nil {
			t.Errorf("verified without the secret: %q %q", header, query)
		}
	})
}
