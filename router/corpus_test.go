package router

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// corpusCase is what a client sends on one connection, and what becomes of it.
type corpusCase struct {
	name string
	// sent are the bytes; "\n" stands for CR LF, "␊" for a bare LF, "␍" for a
	// bare CR.
	sent string
	// seen are the requests that the target gets, each as "METHOD target body".
	seen []string
	// refused is the status of the last answer, after which the connection is
	// closed; 0 if nothing is refused.
	refused int
}

const (
	get1  = "GET /1 HTTP/1.1\nHost: x\n\n"
	get2  = "GET /2 HTTP/1.1\nHost: x\n\n"
	post  = "POST /p HTTP/1.1\nHost: x\n"
	chunk = post + "Transfer-Encoding: chunked\n\n"
)

// The sections are of RFC 9112 if no other is named.
var corpus = []corpusCase{
	// What is as it should be.
	{"a request", get1, []string{"GET /1 "}, 0},
	{"a request with a query", "GET /a?b=c&d=%20 HTTP/1.1\nHost: x\n\n", []string{"GET /a?b=c&d=%20 "}, 0},
	{"an unknown method", "BREW /1 HTTP/1.1\nHost: x\n\n", []string{"BREW /1 "}, 0},
	{"a method in lower case is another method (RFC 9110, 9.1)", "get /1 HTTP/1.1\nHost: x\n\n", []string{"get /1 "}, 0},
	{"OPTIONS of a path", "OPTIONS /1 HTTP/1.1\nHost: x\n\n", []string{"OPTIONS /1 "}, 0},
	{"two requests in one piece (9.3.2)", get1 + get2, []string{"GET /1 ", "GET /2 "}, 0},
	{"three requests, one with a body", get1 + post + "Content-Length: 3\n\nabc" + get2, []string{"GET /1 ", "POST /p abc", "GET /2 "}, 0},
	{"a body of a length (6.2)", post + "Content-Length: 3\n\nabc", []string{"POST /p abc"}, 0},
	{"a body of no length (6.3)", post + "\n" + get2, []string{"POST /p ", "GET /2 "}, 0},
	{"a length of 0", post + "Content-Length: 0\n\n" + get2, []string{"POST /p ", "GET /2 "}, 0},
	{"a length with zeros before it", post + "Content-Length: 003\n\nabc" + get2, []string{"POST /p abc", "GET /2 "}, 0},
	{"a body that looks like a request", post + "Content-Length: 28\n\n" + get2, []string{"POST /p " + wired(get2)}, 0},
	{"GET with a body (RFC 9110, 9.3.1)", "GET /1 HTTP/1.1\nHost: x\nContent-Length: 3\n\nabc" + get2, []string{"GET /1 abc", "GET /2 "}, 0},
	{"chunks (7.1)", chunk + "3\nabc\n2\nde\n0\n\n" + get2, []string{"POST /p abcde", "GET /2 "}, 0},
	{"a chunk's size in both cases", chunk + "A\n0123456789\na\n0123456789\n0\n\n", []string{"POST /p 01234567890123456789"}, 0},
	{"a chunk's size with zeros before it", chunk + "0003\nabc\n000\n\n" + get2, []string{"POST /p abc", "GET /2 "}, 0},
	{"a chunk's extension (7.1.1)", chunk + "3;a=\"b;c\"\nabc\n0;x\n\n" + get2, []string{"POST /p abc", "GET /2 "}, 0},
	{"a trailer (7.1.2)", chunk + "3\nabc\n0\nX-Sum: 1\nX-Two: 2\n\n" + get2, []string{"POST /p abc", "GET /2 "}, 0},
	{"no chunk but the last", chunk + "0\n\n" + get2, []string{"POST /p ", "GET /2 "}, 0},
	{"a coding in capitals (7)", post + "Transfer-Encoding: CHUNKED\n\n3\nabc\n0\n\n", []string{"POST /p abc"}, 0},
	{"a chunk that looks like a request", chunk + "1c\n" + get2 + "\n0\n\n", []string{"POST /p " + wired(get2)}, 0},
	{"a field without a value (RFC 9110, 5.5)", "GET /1 HTTP/1.1\nHost: x\nX-Empty:\n\n", []string{"GET /1 "}, 0},
	{"spaces and tabs around a value (5.1)", "GET /1 HTTP/1.1\nHost: \t x \t\nX:\t y\n\n", []string{"GET /1 "}, 0},
	{"a value beyond ASCII (RFC 9110, 5.5)", "GET /1 HTTP/1.1\nHost: x\nX: \xff\x80\n\n", []string{"GET /1 "}, 0},
	{"a colon in a value", "GET /1 HTTP/1.1\nHost: x:80\nX: a:b\n\n", []string{"GET /1 "}, 0},
	{"a host that is an address", "GET /1 HTTP/1.1\nHost: [::1]:80\n\n", []string{"GET /1 "}, 0},
	{"dots that stay within the root", "GET /a/../1 HTTP/1.1\nHost: x\n\n", []string{"GET /a/../1 "}, 0},
	{"dots that stay within the prefix", "GET /in/a/../1 HTTP/1.1\nHost: x\n\n", []string{"GET /in/a/../1 "}, 0},
	{"Expect, with the body sent at once (RFC 9110, 10.1.1)", post + "Expect: 100-continue\nContent-Length: 3\n\nabc" + get2, []string{"POST /p abc", "GET /2 "}, 0},
	{"Connection names a field (RFC 9110, 7.6.1)", "GET /1 HTTP/1.1\nHost: x\nConnection: x-hop\nX-Hop: 1\n\n" + get2, []string{"GET /1 ", "GET /2 "}, 0},
	{"Connection with empty members", "GET /1 HTTP/1.1\nHost: x\nConnection: ,, keep-alive ,\n\n" + get2, []string{"GET /1 ", "GET /2 "}, 0},
	{"nothing follows a close (9.6)", "GET /1 HTTP/1.1\nHost: x\nConnection: close\n\n" + get2, []string{"GET /1 "}, 0},

	// Two readings of a body's length (6.1, 6.3, 11.2).
	{"a length and a coding", post + "Content-Length: 3\nTransfer-Encoding: chunked\n\n0\n\n", nil, 400},
	{"a coding and a length", post + "Transfer-Encoding: chunked\nContent-Length: 3\n\n0\n\n", nil, 400},
	{"a coding and a length of 0", post + "Transfer-Encoding: chunked\nContent-Length: 0\n\n0\n\n", nil, 400},
	{"two lengths", post + "Content-Length: 3\nContent-Length: 4\n\nabcd", nil, 400},
	{"two equal lengths", post + "Content-Length: 3\nContent-Length: 3\n\nabc", nil, 400},
	{"two lengths in two cases", post + "Content-Length: 3\ncontent-length: 3\n\nabc", nil, 400},
	{"a list of lengths", post + "Content-Length: 3, 3\n\nabc", nil, 400},
	{"a length with a sign", post + "Content-Length: +3\n\nabc", nil, 400},
	{"a length below 0", post + "Content-Length: -1\n\nabc", nil, 400},
	{"a length in hexadecimal", post + "Content-Length: 0x3\n\nabc", nil, 400},
	{"a length with a fraction", post + "Content-Length: 3.0\n\nabc", nil, 400},
	{"a length with a space within", post + "Content-Length: 1 0\n\n0123456789", nil, 400},
	{"a length with an underscore", post + "Content-Length: 1_0\n\n0123456789", nil, 400},
	{"an empty length", post + "Content-Length:\n\nabc", nil, 400},
	{"a length beyond 64 bits", post + "Content-Length: 18446744073709551619\n\nabc", nil, 400},
	{"a length in quotes", post + "Content-Length: \"3\"\n\nabc", nil, 400},
	{"an unknown coding (6.1)", post + "Transfer-Encoding: gzip\n\nabc", nil, 400},
	{"a second coding", post + "Transfer-Encoding: gzip, chunked\n\n0\n\n", nil, 400},
	{"chunked before another coding", post + "Transfer-Encoding: chunked, gzip\n\n0\n\n", nil, 400},
	{"chunked twice", post + "Transfer-Encoding: chunked, chunked\n\n0\n\n", nil, 400},
	{"two coding fields", post + "Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n0\n\n", nil, 400},
	{"identity", post + "Transfer-Encoding: identity\nContent-Length: 3\n\nabc", nil, 400},
	{"an empty coding", post + "Transfer-Encoding:\n\nabc", nil, 400},
	{"a coding in quotes", post + "Transfer-Encoding: \"chunked\"\n\n0\n\n", nil, 400},
	{"a coding with a vertical tab before it", post + "Transfer-Encoding: \vchunked\n\n0\n\n", nil, 400},
	{"a coding with a parameter", post + "Transfer-Encoding: chunked;q=1\n\n0\n\n", nil, 400},
	{"a coding in HTTP/1.0", "POST /p HTTP/1.0\nHost: x\nTransfer-Encoding: chunked\n\n0\n\n", nil, 400},
	{"Connection names the length", post + "Connection: content-length\nContent-Length: 3\n\nabc", nil, 400},
	{"Connection names the host", "GET /1 HTTP/1.1\nConnection: Host\nHost: x\n\n", nil, 400},

	// Lines and fields (2.2, 5.1, 5.2).
	{"a bare LF after the request line", "GET /1 HTTP/1.1␊Host: x\n\n", nil, 400},
	{"a bare LF after a field", "GET /1 HTTP/1.1\nHost: x␊X: y\n\n", nil, 400},
	{"a bare LF ends the head", "GET /1 HTTP/1.1\nHost: x\n␊", nil, 400},
	{"a bare CR in a value", "GET /1 HTTP/1.1\nHost: x\nX: a␍b\n\n", nil, 400},
	{"a bare CR in a name", "GET /1 HTTP/1.1\nHost: x\nX␍Y: a\n\n", nil, 400},
	{"CR CR LF", "GET /1 HTTP/1.1␍\nHost: x\n\n", nil, 400},
	{"a folded line (5.2)", "GET /1 HTTP/1.1\nHost: x\nX: a\n b\n\n", nil, 400},
	{"a folded line with a tab", "GET /1 HTTP/1.1\nHost: x\nX: a\n\tb: c\n\n", nil, 400},
	{"a first field that is folded", "GET /1 HTTP/1.1\n Host: x\n\n", nil, 400},
	{"a space before the colon", post + "Content-Length : 3\n\nabc", nil, 400},
	{"a tab before the colon", post + "Content-Length\t: 3\n\nabc", nil, 400},
	{"a space within a name", "GET /1 HTTP/1.1\nHost: x\nX Y: a\n\n", nil, 400},
	{"no colon", "GET /1 HTTP/1.1\nHost: x\nX\n\n", nil, 400},
	{"an empty name", "GET /1 HTTP/1.1\nHost: x\n: y\n\n", nil, 400},
	{"a name beyond ASCII", "GET /1 HTTP/1.1\nHost: x\nX\xe9: y\n\n", nil, 400},
	{"a name with a bracket", "GET /1 HTTP/1.1\nHost: x\nX(y): z\n\n", nil, 400},
	{"NUL in a value", "GET /1 HTTP/1.1\nHost: x\nX: a\x00b\n\n", nil, 400},
	{"NUL in a name", "GET /1 HTTP/1.1\nHost: x\nX\x00: a\n\n", nil, 400},
	{"an escape in a value", "GET /1 HTTP/1.1\nHost: x\nX: \x1b[0m\n\n", nil, 400},
	{"DEL in a value", "GET /1 HTTP/1.1\nHost: x\nX: \x7f\n\n", nil, 400},
	{"an unknown expectation (RFC 9110, 10.1.1)", post + "Expect: 200-maybe\nContent-Length: 3\n\nabc", nil, 417},

	// The host (3.2, 3.2.2).
	{"no host", "GET /1 HTTP/1.1\n\n", nil, 400},
	{"an empty host", "GET /1 HTTP/1.1\nHost:\n\n", nil, 400},
	{"two hosts", "GET /1 HTTP/1.1\nHost: x\nHost: y\n\n", nil, 400},
	{"two equal hosts", "GET /1 HTTP/1.1\nHost: x\nHost: x\n\n", nil, 400},
	{"a list of hosts", "GET /1 HTTP/1.1\nHost: x, y\n\n", nil, 400},
	{"a host with a path", "GET /1 HTTP/1.1\nHost: x/y\n\n", nil, 400},
	{"a host with a user", "GET /1 HTTP/1.1\nHost: u@x\n\n", nil, 400},
	{"a host with a quote", "GET /1 HTTP/1.1\nHost: x\"y\n\n", nil, 400},

	// The request line (3).
	{"an empty line first", "\n" + get1, nil, 400},
	{"a space first", " " + get1, nil, 400},
	{"two spaces after the method", "GET  /1 HTTP/1.1\nHost: x\n\n", nil, 400},
	{"two spaces before the version", "GET /1  HTTP/1.1\nHost: x\n\n", nil, 400},
	{"a tab between", "GET\t/1 HTTP/1.1\nHost: x\n\n", nil, 400},
	{"a space at the end", "GET /1 HTTP/1.1 \nHost: x\n\n", nil, 400},
	{"a space in the target", "GET /1 2 HTTP/1.1\nHost: x\n\n", nil, 400},
	{"no version", "GET /1\nHost: x\n\n", nil, 400},
	{"HTTP/0.9", "GET /1\n", nil, 400},
	{"a version in lower case", "GET /1 http/1.1\nHost: x\n\n", nil, 400},
	{"a version that is none", "GET /1 HTTP/x.1\nHost: x\n\n", nil, 400},
	{"a later minor version", "GET /1 HTTP/1.2\nHost: x\n\n", nil, 505},
	{"HTTP/2 without its preface", "GET /1 HTTP/2.0\nHost: x\n\n", nil, 505},
	{"a version of two digits", "GET /1 HTTP/1.10\nHost: x\n\n", nil, 400},
	{"a method that is no token", "G(T /1 HTTP/1.1\nHost: x\n\n", nil, 400},
	{"a method without end", strings.Repeat("G", 40) + " /1 HTTP/1.1\nHost: x\n\n", nil, 501},
	{"TLS on a plain port", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", nil, 400},
	{"CONNECT (RFC 9110, 9.3.6)", "CONNECT x:443 HTTP/1.1\nHost: x:443\n\n", nil, 400},
	{"CONNECT with a path", "CONNECT /1 HTTP/1.1\nHost: x\n\n", nil, 400},
	{"a star (3.2.4)", "OPTIONS * HTTP/1.1\nHost: x\n\n", nil, 400},
	{"a target that is no path", "GET 1 HTTP/1.1\nHost: x\n\n", nil, 400},
	{"a fragment in the target", "GET /1#2 HTTP/1.1\nHost: x\n\n", nil, 400},
	{"a target beyond ASCII", "GET /\xe9 HTTP/1.1\nHost: x\n\n", nil, 400},
	{"a control character in the target", "GET /\x01 HTTP/1.1\nHost: x\n\n", nil, 400},
	{"NUL in the target, encoded", "GET /a%00b HTTP/1.1\nHost: x\n\n", nil, 400},
	{"a line's end in the target, encoded", "GET /a%0d%0ab HTTP/1.1\nHost: x\n\n", nil, 400},
	{"a bad encoding", "GET /a%zz HTTP/1.1\nHost: x\n\n", nil, 400},
	{"an encoding cut short", "GET /a%2 HTTP/1.1\nHost: x\n\n", nil, 400},
	{"an encoding with a sign", "GET /a%+1 HTTP/1.1\nHost: x\n\n", nil, 400},
	{"a target that is too long", "GET /" + strings.Repeat("a", 17<<10) + " HTTP/1.1\nHost: x\n\n", nil, 414},
	{"a head that is too large", "GET /1 HTTP/1.1\nHost: x\n" + strings.Repeat("X: "+strings.Repeat("y", 1000)+"\n", 70) + "\n", nil, 431},
	{"too many fields", "GET /1 HTTP/1.1\nHost: x\n" + strings.Repeat("X: y\n", 130) + "\n", nil, 431},

	// Out of a prefix (RFC 3986, 5.2.4). The routes are "/" and "/in/".
	{"out of the root", "GET /../etc HTTP/1.1\nHost: x\n\n", nil, 400},
	{"out of the prefix", "GET /in/../1 HTTP/1.1\nHost: x\n\n", nil, 400},
	{"out of it, encoded", "GET /in/%2e%2E/1 HTTP/1.1\nHost: x\n\n", nil, 400},
	{"out of it, half encoded", "GET /in/.%2e/1 HTTP/1.1\nHost: x\n\n", nil, 400},
	{"out of it, encoded slash", "GET /in/..%2f1 HTTP/1.1\nHost: x\n\n", nil, 400},
	{"out of it and in again", "GET /in/a/../../in/b HTTP/1.1\nHost: x\n\n", nil, 400},
	{"out of it with a backslash", "GET /in/a\\..\\..\\1 HTTP/1.1\nHost: x\n\n", nil, 400},
	{"out of it with an encoded backslash", "GET /in/..%5c1 HTTP/1.1\nHost: x\n\n", nil, 400},
	{"out of it with a parameter", "GET /in/..;a/1 HTTP/1.1\nHost: x\n\n", nil, 400},
	{"out of it past empty segments", "GET /in//../../1 HTTP/1.1\nHost: x\n\n", nil, 400},

	// Chunks (7.1). What came before on the connection was good.
	{"a size with a sign", chunk + "+3\nabc\n0\n\n", nil, 400},
	{"a size with a prefix", chunk + "0x3\nabc\n0\n\n", nil, 400},
	{"a size below 0", chunk + "-3\nabc\n0\n\n", nil, 400},
	{"no size", chunk + "\nabc\n0\n\n", nil, 400},
	{"an extension without a size", chunk + ";a\nabc\n0\n\n", nil, 400},
	{"a space before a size", chunk + " 3\nabc\n0\n\n", nil, 400},
	{"a space after a size", chunk + "3 \nabc\n0\n\n", nil, 400},
	{"a size beyond 64 bits", chunk + "10000000000000003\nabc\n0\n\n", nil, 400},
	{"a size with a bare LF", chunk + "3␊abc\n0\n\n", nil, 400},
	{"a bare CR in an extension", chunk + "3;a␍b\nabc\n0\n\n", nil, 400},
	{"a control character in an extension", chunk + "3;\x00\nabc\n0\n\n", nil, 400},
	{"an extension without end", chunk + "3;" + strings.Repeat("a", 2000) + "\nabc\n0\n\n", nil, 400},
	{"a chunk longer than its size", chunk + "2\nabc\n0\n\n", nil, 400},
	{"a chunk shorter than its size", chunk + "4\nabc\n0\n\n", nil, 400},
	{"a bare LF after a chunk", chunk + "3\nabc␊0\n\n", nil, 400},
	{"a length in a trailer (RFC 9110, 6.5.1)", chunk + "3\nabc\n0\nContent-Length: 9\n\n", nil, 400},
	{"a coding in a trailer", chunk + "3\nabc\n0\nTransfer-Encoding: chunked\n\n", nil, 400},
	{"a host in a trailer", chunk + "3\nabc\n0\nHost: y\n\n", nil, 400},
	{"a folded trailer", chunk + "3\nabc\n0\nX: a\n b\n\n", nil, 400},
	{"a space before a trailer's colon", chunk + "3\nabc\n0\nX : a\n\n", nil, 400},
	{"a bare LF ends the trailer", chunk + "3\nabc\n0\n␊", nil, 400},
	{"a trailer that is too large", chunk + "0\n" + strings.Repeat("X: "+strings.Repeat("y", 1000)+"\n", 10) + "\n", nil, 431},
	{"a good request, then a bad one", get1 + "GET /2 HTTP/1.1\nHost : x\n\n", []string{"GET /1 "}, 400},
	{"what follows a bad one is not read", "GET /1 HTTP/1.1\nHost : x\n\n" + get2, nil, 400},
}

// wired gives a case's text as it goes on the wire.
func wired(text string) string {
	return strings.NewReplacer("\n", "\r\n", "␊", "\n", "␍", "\r").Replace(text)
}

// recorder is a target that records the bytes of each connection, and the
// requests that are whole in them.
type recorder struct {
	net.Listener
	mu    sync.Mutex
	whole []string // "METHOD target body"
	raw   []string // the bytes of the same
	loose []string // bytes of connections after their last whole request
}

func record(t *testing.T) *recorder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{Listener: l}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { r.serve(conn) })
		}
	})
	t.Cleanup(func() { l.Close(); serving.Wait() })
	return r
}

func (r *recorder) serve(conn net.Conn) {
	defer conn.Close()
	var seen bytes.Buffer
	reader := bufio.NewReader(io.TeeReader(conn, &seen))
	for {
		request, err := http.ReadRequest(reader)
		var body []byte
		if err == nil {
			body, err = io.ReadAll(request.Body)
		}
		r.mu.Lock()
		if err != nil {
			if seen.Len() > 0 {
				r.loose = append(r.loose, seen.String())
			}
			r.mu.Unlock()
			return
		}
		r.whole = append(r.whole, fmt.Sprintf("%s %s %s", request.Method, request.RequestURI, body))
		r.raw = append(r.raw, string(seen.Next(seen.Len()-reader.Buffered())))
		r.mu.Unlock()
		if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"); err != nil {
			return
		}
	}
}

// take gives what was recorded since the last call.
func (r *recorder) take() (whole, raw, loose []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	whole, raw, loose = r.whole, r.raw, r.loose
	r.whole, r.raw, r.loose = nil, nil, nil
	return whole, raw, loose
}

func TestWhatTheRouterAcceptsIsWhatTheTargetSees(t *testing.T) {
	if len(corpus) < 80 {
		t.Fatalf("the corpus has %d cases only", len(corpus))
	}
	b := record(t)
	s := serve(t, Options{})
	s.set(t, Table{
		Routes:   []Route{{Path: "/in/", Service: "web"}, {Path: "/", Service: "web"}},
		Services: map[string][]Target{"web": {{ID: "1", Address: b.Addr().String()}}},
	})
	eventually(t, "the target is healthy", func() bool { return s.Targets("web")[0].Healthy })
	for _, way := range []struct {
		name   string
		before string // sent first
		piece  int    // bytes of a write; 0 for all in one
	}{
		{name: "whole"},
		{name: "in pieces", piece: 7},
		// HTTP/1.0 is net/http's, and so is all that follows on it.
		{name: "by net/http", before: wired("GET /first HTTP/1.0\nHost: x\nConnection: keep-alive\n\n")},
	} {
		for _, c := range corpus {
			t.Run(way.name+"/"+c.name, func(t *testing.T) {
				b.take()
				want := slices.Repeat([]int{200}, len(c.seen))
				var seen []string
				if way.before != "" {
					want = append([]int{200}, want...)
					seen = []string{"GET /first "}
				}
				if c.refused != 0 {
					want = append(want, c.refused)
				}
				statuses, closed := s.converse(t, way.before, wired(c.sent), way.piece, len(want), c.refused != 0)
				if c.refused != 0 && !closed {
					t.Error("the connection stays open")
				}
				if n := len(want) - 1; way.before != "" && c.refused != 0 {
					// net/http has a status of its own, or the connection
					// ends without one.
					if want = want[:n]; len(statuses) > n && statuses[n] >= 400 {
						want = append(want, statuses[n])
					}
				}
				if !slices.Equal(statuses, want) {
					t.Errorf("answered with %d, want %d", statuses, want)
				}
				whole, raw, loose := b.take()
				if want := append(seen, c.seen...); !slices.Equal(whole, want) {
					t.Errorf("the target saw %q, want %q (answers %d, closed %v)", whole, want, statuses, closed)
				}
				for _, bytes := range raw {
					head, _, _ := strings.Cut(bytes, "\r\n\r\n")
					if strings.Contains(strings.ReplaceAll(head, "\r\n", ""), "\n") || strings.Contains(strings.ToLower(head), "x-hop") {
						t.Errorf("the target got the head %q", head)
					}
				}
				for _, bytes := range loose {
					// Half a request is what a bad body leaves; it never ends.
					if !strings.HasPrefix(bytes, "POST /p HTTP/1.1\r\n") {
						t.Errorf("the target got %q as well", bytes)
					}
				}
			})
		}
	}
}

// converse sends bytes on a connection of their own, before first, and reads as
// many answers as are expected; then the end of the connection, if it is to
// end, or nothing.
func (s *served) converse(t *testing.T, before, sent string, piece, expected int, ends bool) (statuses []int, closed bool) {
	t.Helper()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	reader := bufio.NewReader(conn)
	next := func(wait time.Duration) {
		_ = conn.SetReadDeadline(time.Now().Add(wait))
		answer, err := http.ReadResponse(reader, nil)
		if err == nil {
			_, err = io.Copy(io.Discard, answer.Body)
		}
		if err != nil {
			closed = closed || !errors.Is(err, os.ErrDeadlineExceeded)
			return
		}
		if answer.StatusCode >= 200 {
			statuses = append(statuses, answer.StatusCode)
		}
	}
	if before != "" {
		if _, err := io.WriteString(conn, before); err != nil {
			t.Fatal(err)
		}
		next(10 * time.Second)
	}
	if piece == 0 {
		piece = len(sent)
	}
	for small := 0; len(sent) > 0; small++ {
		n := min(piece, len(sent))
		if small > 200 {
			n = len(sent)
		}
		if _, err := io.WriteString(conn, sent[:n]); err != nil {
			break // refused before its end
		}
		sent = sent[n:]
	}
	for !closed && len(statuses) < expected {
		next(10 * time.Second)
	}
	wait := 5 * time.Millisecond // for what must not come
	if ends {
		wait = 10 * time.Second
	}
	if !closed {
		next(wait)
	}
	return statuses, closed
}
