package api_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestWithoutATokenOnlyLoopbackNamesAreAnswered(t *testing.T) {
	h := handler(t, options(newLoop()))
	for host, want := range map[string]int{
		"localhost": 200, "localhost:4500": 200, "LOCALHOST:4500": 200, "ui.localhost:4500": 200, "localhost.": 200,
		"127.0.0.1:4500": 200, "127.64.1.1": 200, "[::1]:4500": 200, "::1": 200,
		"evil.example": 421, "evil.example:4500": 421, "localhost.evil.example": 421, "notlocalhost": 421,
		"127.0.0.1.evil.example": 421, "10.0.0.1:4500": 421, "0.0.0.0:4500": 421, "": 421,
	} {
		for _, path := range []string{"/v1/services", "/metrics", "/", "/v1/stream/"} {
			w := ask(h, http.MethodGet, path, "", "Host", host)
			if refused := w.Code == http.StatusMisdirectedRequest; refused != (want == 421) {
				t.Errorf("GET %s of host %q: status %d, want %d", path, host, w.Code, want)
			}
		}
	}
}

func TestAPageOfAnotherOriginMayNotWrite(t *testing.T) {
	l := newLoop()
	h := handler(t, options(l))
	for _, c := range []struct {
		headers []string
		allowed bool
	}{
		{nil, true}, // not a browser
		{[]string{"Origin", "http://localhost:4500"}, true},
		{[]string{"Sec-Fetch-Site", "same-origin"}, true},
		{[]string{"Origin", "http://evil.example"}, false},
		{[]string{"Origin", "http://localhost:9999"}, false},
		{[]string{"Origin", "null"}, false},
		{[]string{"Sec-Fetch-Site", "cross-site"}, false},
		{[]string{"Sec-Fetch-Site", "same-site"}, false},
	} {
		l.asked = nil
		w := ask(h, http.MethodPost, "/v1/services/web/pause", "", c.headers...)
		if allowed := w.Code == http.StatusOK && len(l.asked) == 1; allowed != c.allowed {
			t.Errorf("%q: status %d, asked %q; want it allowed: %t", c.headers, w.Code, l.asked, c.allowed)
		}
		if w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%q: CORS is open", c.headers)
		}
	}
}

func TestWithATokenNothingIsShownWithoutIt(t *testing.T) {
	o := options(newLoop())
	o.Token = "secret"
	h := handler(t, o)
	for _, path := range []string{"/v1/services", "/v1/stream", "/v1/nothing", "/metrics", "/", "/assets/app.js"} {
		for _, header := range [][]string{nil, {"Authorization", "Bearer wrong"}, {"Authorization", "Bearer "}, {"Authorization", "Basic secret"}, {"Cookie", "plimsoll=secret"}} {
			w := ask(h, http.MethodGet, path, "", header...)
			if w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String(), "secret") || strings.Contains(w.Body.String(), "the page") {
				t.Errorf("GET %s with %q: status %d, %s", path, header, w.Code, w.Body)
			}
		}
	}
	// With a token, the host may have any name.
	if w := ask(h, http.MethodGet, "/v1/services", "", "Authorization", "Bearer secret", "Host", "plimsoll.example"); w.Code != http.StatusOK {
		t.Errorf("with the token: status %d, %s", w.Code, w.Body)
	}
	if w := ask(h, http.MethodPost, "/v1/services/web/pause", "", "Authorization", "Bearer secret", "Host", "plimsoll.example"); w.Code != http.StatusOK {
		t.Errorf("a write with the token: status %d, %s", w.Code, w.Body)
	}
}

func TestSigningInSetsACookieThatIsNotTheToken(t *testing.T) {
	o := options(newLoop())
	o.Token = "secret"
	h := handler(t, o)
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	for name, w := range map[string]*http.Response{
		"link": ask(h, http.MethodGet, "/?token=secret", "").Result(),
		"form": ask(h, http.MethodPost, "/login", "token=secret", form...).Result(),
	} {
		cookies := w.Cookies()
		if w.StatusCode != http.StatusSeeOther || w.Header.Get("Location") != "/" || len(cookies) != 1 {
			t.Fatalf("%s: status %d to %q with cookies %v", name, w.StatusCode, w.Header.Get("Location"), cookies)
		}
		c := cookies[0]
		if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || strings.Contains(c.Value, "secret") {
			t.Errorf("%s: cookie %v", name, c)
		}
		cookie := c.Name + "=" + c.Value
		if got := ask(h, http.MethodGet, "/", "", "Cookie", cookie); got.Body.String() != "the page" {
			t.Errorf("%s: with the cookie the answer is %d, %s", name, got.Code, got.Body)
		}
	}
	for name, w := range map[string]int{
		"link":             ask(h, http.MethodGet, "/?token=wrong", "").Code,
		"form":             ask(h, http.MethodPost, "/login", "token=wrong", form...).Code,
		"empty":            ask(h, http.MethodPost, "/login", "token=", form...).Code,
		"link to the REST": ask(h, http.MethodGet, "/v1/services?token=secret", "").Code,
	} {
		if w != http.StatusUnauthorized {
			t.Errorf("%s with the wrong token: status %d", name, w)
		}
	}
}

func TestEveryAnswerForbidsWhatItNeedsNot(t *testing.T) {
	h := handler(t, options(newLoop()))
	for _, path := range []string{"/v1/services", "/metrics", "/", "/v1/nothing"} {
		head := ask(h, http.MethodGet, path, "").Header()
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Content-Security-Policy": "default-src 'none'"} {
			if !strings.HasPrefix(head.Get(name), want) {
				t.Errorf("GET %s: %s is %q, want %q", path, name, head.Get(name), want)
			}
		}
	}
}
