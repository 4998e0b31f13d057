package h1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"testing"
)

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
