package h1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"testing"
)

// fields are what Parse has read of a head, less Host, in lower case and sorted.
func fields(f *Fields) (all []string) {
	for i := range f.Len() {
		if f.Kind(i) != Host {
			all = append(all, strings.ToLower(string(f.Name(i)))+"="+string(f.Value(i)))
		}
	}
	slices.Sort(all)
	return all
}

// fieldsOf are the same as net/http has read them.
func fieldsOf(h http.Header) (all []string) {
	for name, values := range h {
		for _, value := range values {
			all = append(all, strings.ToLower(name)+"="+value)
		}
	}
	slices.Sort(all)
	return all
}

// without leaves out the fields of these names.
func without(all []string, names ...string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(f string) bool {
		name, _, _ := strings.Cut(f, "=")
		return slices.Contains(names, name)
	})
}

var heads = []string{
	"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /a?b HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: x:80\r\nContent-Length: 3\r\nX: \t a b \t\r\n\r\nabc",
	"PUT / HTTP/1.1\r\nhost:x\r\nTransfer-Encoding: Chunked\r\nTrailer: X\r\nTE: trailers\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: x\r\nConnection: x-hop, upgrade\r\nUpgrade: websocket\r\nX-Hop: 1\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
	"GET / HTTP/1.1\nHost: x\n\n",
	"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
}

// FuzzARequestIsReadAsNetHTTPReadsIt holds the parser of request heads against
// net/http's: what it takes, net/http takes for the same, or refuses.
func FuzzARequestIsReadAsNetHTTPReadsIt(f *testing.F) {
	for _, seed := range heads {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var r Request
		n, err := r.Parse(data)
		if n == 0 {
			return
		}
		if err != nil || !bytes.HasSuffix(data[:n], []byte("\r\n\r\n")) {
			t.Fatalf("%d bytes of %q are a head (%v)", n, data, err)
		}
		for cut := range n {
			var part Request
			if m, err := part.Parse(data[:cut]); m != 0 || err != nil {
				t.Fatalf("%d bytes of %q are %d bytes of a head (%v), the whole is %d", cut, data, m, err, n)
			}
		}
		want, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(data)))
		if err != nil {
			return // net/http is stricter here
		}
		if string(r.Method) != want.Method || string(r.Target) != want.RequestURI {
			t.Errorf("%q %q, net/http has %q %q", r.Method, r.Target, want.Method, want.RequestURI)
		}
		if r.Target[0] == '/' && !strings.HasPrefix(want.RequestURI, "//") && string(r.Host) != want.Host {
			t.Errorf("host %q, net/http has %q", r.Host, want.Host)
		}
		if r.Chunked != (want.ContentLength < 0) || !r.Chunked && max(0, r.Length) != want.ContentLength {
			t.Errorf("length %d, chunked %t; net/http has %d", r.Length, r.Chunked, want.ContentLength)
		}
		if r.Persists == want.Close {
			t.Errorf("persists %t, net/http closes %t: %q", r.Persists, want.Close, data)
		}
		// net/http takes these out or rewrites them.
		own := []string{"transfer-encoding", "content-length", "trailer", "pragma", "cache-control", "connection"}
		got, all := without(fields(&r.Fields), own...), without(fieldsOf(want.Header), own...)
		if !slices.Equal(got, all) {
			t.Errorf("fields %q, net/http has %q", got, all)
		}
	})
}

// FuzzAnAnswerIsReadAsNetHTTPReadsIt does the same for the heads of answers.
func FuzzAnAnswerIsReadAsNetHTTPReadsIt(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200\r\n\r\n",
		"HTTP/1.0 404 Not Found\r\nConnection: keep-alive\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var a Answer
		n, _ := a.Parse(data)
		if n == 0 {
			return
		}
		want, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(data)), nil)
		if err != nil {
			return
		}
		defer want.Body.Close()
		if a.Status != want.StatusCode || strings.TrimSpace(string(a.Line)) != strings.TrimSpace(want.Status) {
			t.Errorf("status %d %q, net/http has %q", a.Status, a.Line, want.Status)
		}
		if !a.Bodiless(false) && (a.Chunked != slices.Contains(want.TransferEncoding, "chunked") || !a.Chunked && a.Length != want.ContentLength) {
			t.Errorf("length %d, chunked %t; net/http has %d %q", a.Length, a.Chunked, want.ContentLength, want.TransferEncoding)
		}
		own := []string{"transfer-encoding", "content-length", "trailer", "pragma", "cache-control", "connection", "host"}
		got, all := without(fields(&a.Fields), own...), without(fieldsOf(want.Header), own...)
		if !slices.Equal(got, all) {
			t.Errorf("fields %q, net/http has %q", got, all)
		}
	})
}

// FuzzChunksAreReadAsNetHTTPReadsThem does the same for chunked bodies, whole
// and cut in two at every place.
func FuzzChunksAreReadAsNetHTTPReadsThem(f *testing.F) {
	for _, seed := range []string{
		"3\r\nabc\r\n0\r\n\r\n", "0\r\n\r\n", "a;x=y\r\n0123456789\r\n000\r\nX: y\r\n\r\nrest",
		"3\r\nabcd\r\n0\r\n\r\n", "+3\r\nabc\r\n0\r\n\r\n", "3\nabc\n0\n\n", "ffffffffffffffff\r\n",
	} {
		f.Add([]byte(seed))
	}
	read := func(pieces ...[]byte) (data []byte, rest int, err error) {
		var c Chunks
		for _, p := range pieces {
			for len(p) > 0 && !c.Done() {
				var piece []byte
				if piece, p, err = c.Next(p); err != nil {
					return nil, 0, err
				}
				data = append(data, piece...)
			}
			rest += len(p)
		}
		if !c.Done() {
			return data, 0, io.ErrUnexpectedEOF
		}
		return data, rest, nil
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		whole, rest, err := read(data)
		for cut := range data {
			part, left, other := read(data[:cut], data[cut:])
			if (err == nil) != (other == nil) || err == nil && (!bytes.Equal(whole, part) || rest != left) {
				t.Fatalf("cut at %d: %q, %d left (%v); whole: %q, %d left (%v)", cut, part, left, other, whole, rest, err)
			}
		}
		if err != nil {
			return
		}
		want, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(data)))
		if err != nil && !strings.Contains(err.Error(), "too much overhead") {
			t.Fatalf("net/http refuses %q: %v", data, err)
		}
		if err == nil && !bytes.Equal(whole, want) {
			t.Errorf("%q, net/http has %q", whole, want)
		}
	})
}

// FuzzTheFollowerAgreesWithNetHTTP holds the strict reading of a connection against
// net/http's: whatever is let through, net/http must take for the same requests
// with the same bodies, and it must not matter how the bytes come in.
func FuzzTheFollowerAgreesWithNetHTTP(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET / HTTP/1.0\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n00a\r\n0123456789\r\n000\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
		"GET / HTTP/1.1\nHost: x\n\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var whole, single Follower
		good, _ := whole.Follow(bytes.Clone(data))
		bytewise := 0
		for bytewise < len(data) {
			if _, err := single.Follow(data[bytewise : bytewise+1]); err != nil {
				break
			}
			bytewise++
		}
		// A line is judged at its end: fed whole it is cut at its beginning.
		if (good == len(data)) != (bytewise == len(data)) || good > bytewise {
			t.Fatalf("%d bytes are good when fed whole, %d one by one, of %q", good, bytewise, data)
		}
		if good < len(data) || !whole.Between() {
			return
		}
		reader := bufio.NewReader(bytes.NewReader(data))
		for {
			if _, err := reader.Peek(1); err == io.EOF {
				return
			}
			request, err := http.ReadRequest(reader)
			if err != nil {
				return // net/http is stricter here: it refuses what it cannot read
			}
			if _, err := io.Copy(io.Discard, request.Body); err == io.ErrUnexpectedEOF {
				t.Fatalf("net/http waits for more of a body than %q has", data)
			} else if err != nil {
				return
			}
		}
	})
}
