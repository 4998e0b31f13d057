package router

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// excess is a target that answers "/excess" with more than belongs to its answer, all
// of which is there when said is told, and anything else with "fine".
func excess(t *testing.T, answer func() (first, then string)) (to Target, said chan struct{}) {
	t.Helper()
	said = make(chan struct{}, 1)
	return speaking(t, "1", func(conn net.Conn) {
		for reader := bufio.NewReader(conn); ; {
			request, err := http.ReadRequest(reader)
			if err != nil {
				return
			}
			if request.URL.Path != "/excess" {
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine")
				continue
			}
			first, then := answer()
			_, _ = io.WriteString(conn, first)
			_, _ = io.WriteString(conn, then)
			said <- struct{}{}
		}
	}), said
}

func TestWhatATargetSendsTooMuchIsNoAnswerToTheNextRequest(t *testing.T) {
	const other = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
	long := func(size int) string {
		head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %06d\r\n\r\n", size)
		return head + strings.Repeat("x", size)
	}
	head := len(long(0))
	for _, c := range []struct {
		name, method, first string
	}{
		{"a body to HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 44\r\n\r\n"},
		{"a body with 304", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 44\r\n\r\n"},
		{"a body with 204", "GET", "HTTP/1.1 204 No Content\r\n\r\n"},
		{"more than a buffer", "GET", long(bodyBuffer - head)},
		{"more than two buffers", "GET", long(2*bodyBuffer - head)},
		{"more than the kernel moves", "GET", long(spliceFrom + spliceStep + bodyBuffer)},
		{"more than the kernel moves in steps", "GET", long(10 * spliceStep)},
	} {
		t.Run(c.name, func(t *testing.T) {
			to, said := excess(t, func() (string, string) { return c.first, other })
			s := serve(t, Options{})
			s.set(t, one(to))
			for range 10 {
				a := s.dial(t)
				a.say(t, c.method+" /excess HTTP/1.1\r\nHost: x\r\n\r\n")
				answer, err := http.ReadResponse(a.Reader, &http.Request{Method: c.method})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, answer.Body); err != nil {
					t.Fatal(err)
				}
				<-said
				if code, text := s.get(t, "/"); code != 200 || text != "fine" {
					t.Fatalf("the next request is answered with %d %q", code, text)
				}
			}
		})
	}
}
