package router

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// framing is a target of HTTP/2 without TLS that the test plays: first gets the first
// stream when the head has come, with what has come of the body after it as it is asked
// for; all others are answered with their body.
func framing(t *testing.T, first func(f *http2.Framer, stream uint32, piece func() string)) Target {
	t.Helper()
	var streams atomic.Int64
	return speaking(t, "1", func(conn net.Conn) {
		play(conn, func(f *http2.Framer, stream uint32, piece func() string) {
			if streams.Add(1) == 1 {
				first(f, stream, piece)
				return
			}
			var body strings.Builder
			for text := piece(); text != ""; text = piece() {
				body.WriteString(text)
			}
			var head bytes.Buffer
			_ = hpack.NewEncoder(&head).WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: head.Bytes(), EndHeaders: true})
			_ = f.WriteData(stream, true, []byte(body.String()))
		})
	})
}

// play answers the streams of one connection, one after the other.
func play(conn net.Conn, each func(f *http2.Framer, stream uint32, piece func() string)) {
	if _, err := io.CopyN(io.Discard, conn, int64(len(http2.ClientPreface))); err != nil {
		return
	}
	f := http2.NewFramer(conn, conn)
	_ = f.WriteSettings()
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		if s, ok := frame.(*http2.SettingsFrame); ok && !s.IsAck() {
			_ = f.WriteSettingsAck()
		}
		head, ok := frame.(*http2.HeadersFrame)
		if !ok {
			continue
		}
		ended := head.StreamEnded()
		each(f, head.StreamID, func() string {
			for !ended {
				frame, err := f.ReadFrame()
				if err != nil {
					return ""
				}
				if data, ok := frame.(*http2.DataFrame); ok && data.StreamID == head.StreamID {
					if ended = data.StreamEnded(); len(data.Data()) > 0 {
						return string(data.Data())
					}
				}
			}
			return ""
		})
	}
}

func TestWhatATargetSaysThatItHasNotBegunOnIsSentAgainWithItsBody(t *testing.T) {
	for name, say := range map[string]func(f *http2.Framer, stream uint32) error{
		"the connection ends in order": func(f *http2.Framer, _ uint32) error { return f.WriteGoAway(0, http2.ErrCodeNo, nil) },
		"the target has too much to do": func(f *http2.Framer, stream uint32) error {
			return f.WriteRSTStream(stream, http2.ErrCodeRefusedStream)
		},
	} {
		t.Run(name, func(t *testing.T) {
			refused := make(chan struct{})
			target := framing(t, func(f *http2.Framer, stream uint32, piece func() string) {
				if got := piece(); got != "one " {
					t.Errorf("the first piece is %q", got)
				}
				if err := say(f, stream); err != nil {
					t.Error(err)
				}
				close(refused)
			})
			s := serve(t, Options{})
			s.set(t, over(Upstream{Protocol: H2C}, target))
			body, pieces := io.Pipe()
			go func() {
				_, _ = io.WriteString(pieces, "one ")
				<-refused // the rest comes only then
				_, _ = io.WriteString(pieces, "two")
				pieces.Close()
			}()
			if code, text := s.do(t, "POST", "/", body, nil); code != 200 || text != "one two" {
				t.Errorf("%d %q, want the whole body back", code, text)
			}
			if state := s.Targets("web")[0]; !state.Healthy || len(state.Failures) > 0 {
				t.Errorf("the target is blamed: %+v", state)
			}
		})
	}
}

func TestABodyThatIsTooLargeToBeKeptIsNotSentAgain(t *testing.T) {
	target := framing(t, func(f *http2.Framer, stream uint32, piece func() string) {
		for n := 0; n <= bodyKept; {
			text := piece()
			if n += len(text); text == "" {
				return
			}
			_ = f.WriteWindowUpdate(0, uint32(len(text)))
			_ = f.WriteWindowUpdate(stream, uint32(len(text)))
		}
		_ = f.WriteRSTStream(stream, http2.ErrCodeRefusedStream)
	})
	s := serve(t, Options{})
	s.set(t, over(Upstream{Protocol: H2C}, target))
	code, text := s.do(t, "POST", "/", strings.NewReader(strings.Repeat("a", 4*bodyKept)), nil)
	if code != http.StatusBadGateway || !strings.Contains(text, errNotKept.Error()) {
		t.Errorf("%d %q, want 502 with the reason", code, text)
	}
}

// frame is a message of gRPC.
func frame(t *testing.T, text string) []byte {
	t.Helper()
	message, err := proto.Marshal(wrapperspb.String(text))
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

func TestAStreamOfGRPCMayBeSilentForAsLongAsItLikes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := bufconn.Listen(1 << 10)
		server := grpc.NewServer() // which ends a connection that is pinged often
		server.RegisterService(&echoService, nil)
		go func() { _ = server.Serve(l) }()
		transport, err := newTransport(Upstream{Protocol: H2C}, func(ctx context.Context, _, _ string) (net.Conn, error) { return l.DialContext(ctx) }, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		body, messages := io.Pipe()
		request, err := http.NewRequestWithContext(t.Context(), "POST", "http://target/test.Echo/Talk", body)
		if err != nil {
			t.Fatal(err)
		}
		request.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}}
		go func() { _, _ = messages.Write(frame(t, "message 0")) }()
		answer, err := transport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			want := frame(t, fmt.Sprint("message ", i))
			if i > 0 {
				time.Sleep(time.Hour) // in virtual time
				if _, err := messages.Write(want); err != nil {
					t.Fatal(err)
				}
			}
			got := make([]byte, len(want))
			if _, err := io.ReadFull(answer.Body, got); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("message %d: %q, %v", i, got, err)
			}
		}
		messages.Close()
		answer.Body.Close()
		transport.CloseIdleConnections()
		server.Stop()
	})
}
