package router

import (
	"encoding/hex"
	"net/http"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// spans keeps what it gets.
type spans struct {
	mu  sync.Mutex
	all []*Span
}

func (s *spans) Add(span *Span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, span)
}

func (s *spans) Counts() (sent, lost uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return uint64(len(s.all)), 0
}

const givenTrace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0"

func TestATraceIsPassedOnAndBegunWhereThatIsAskedFor(t *testing.T) {
	seen := make(chan http.Header, 1)
	b := backend(t, func(w http.ResponseWriter, r *http.Request) { seen <- r.Header })
	for name, c := range map[string]struct {
		options  Options
		came     []string // traceparents
		want     string   // "same", "new 01", "new 00", "child 01" or nothing
		recorded uint64
	}{
		"off, none":                    {Options{}, nil, "", 0},
		"off, one":                     {Options{}, []string{givenTrace + "1"}, "same", 0},
		"begun":                        {Options{Trace: true}, nil, "new 01", 0},
		"not begun again":              {Options{Trace: true}, []string{givenTrace + "0"}, "same", 0},
		"sampled by others":            {Options{Spans: &spans{}}, []string{givenTrace + "1"}, "child 01", 1},
		"not sampled by others":        {Options{Spans: &spans{}, SampleShare: 1}, []string{givenTrace + "0"}, "same", 0},
		"sampled here":                 {Options{Spans: &spans{}, SampleShare: 1}, nil, "new 01", 1},
		"not sampled here":             {Options{Spans: &spans{}}, nil, "new 00", 0},
		"two, which is none":           {Options{Spans: &spans{}, SampleShare: 1}, []string{givenTrace + "1", givenTrace + "1"}, "new 01", 1},
		"capitals, which is none":      {Options{Spans: &spans{}, SampleShare: 1}, []string{strings.ToUpper(givenTrace) + "1"}, "new 01", 1},
		"a later version with more":    {Options{Spans: &spans{}}, []string{"01" + givenTrace[2:] + "1-more"}, "child 01", 1},
		"version 00 with more":         {Options{Spans: &spans{}, SampleShare: 1}, []string{givenTrace + "1-more"}, "new 01", 1},
		"version ff":                   {Options{Spans: &spans{}, SampleShare: 1}, []string{"ff" + givenTrace[2:] + "1"}, "new 01", 1},
		"a trace id of nothing":        {Options{Spans: &spans{}, SampleShare: 1}, []string{"00-" + strings.Repeat("0", 32) + "-b7ad6b7169203331-01"}, "new 01", 1},
		"flags that have no name here": {Options{Spans: &spans{}}, []string{givenTrace[:53] + "ff"}, "child 03", 1},
	} {
		for _, path := range []string{"/plain", "/rare"} {
			t.Run(name+path, func(t *testing.T) {
				if _, ok := c.options.Spans.(*spans); ok {
					c.options.Spans = &spans{}
				}
				s := serve(t, c.options)
				s.set(t, Table{
					Routes:   []Route{{Path: "/plain", Service: "web"}, {Path: "/rare", Service: "web", Compress: true}},
					Services: map[string][]Target{"web": {targetOf("1", b)}},
				})
				header := http.Header{"Tracestate": {"a=b"}}
				if c.came != nil {
					header["Traceparent"] = c.came
				}
				s.do(t, http.MethodGet, path, nil, header)
				h := <-seen
				got := h["Traceparent"]
				state := len(h["Tracestate"]) == 1
				begins, flags, _ := strings.Cut(c.want, " ")
				tc, ok := parseTraceparent(strings.Join(got, ","))
				switch begins {
				case "":
					ok = got == nil && state
				case "same":
					ok = ok && len(got) == 1 && got[0] == c.came[0] && state
				case "new":
					ok = ok && hex.EncodeToString(tc.trace[:]) != givenTrace[3:35] && got[0][53:] == flags && !state
				case "child":
					ok = ok && hex.EncodeToString(tc.trace[:]) == givenTrace[3:35] && hex.EncodeToString(tc.span[:]) != givenTrace[36:52] && got[0][53:] == flags && state
				}
				if !ok {
					t.Errorf("the target got %q (tracestate %v), want %q", got, h["Tracestate"], c.want)
				}
				if list, on := c.options.Spans.(*spans); on {
					s.routeNamed(t, path, 1)
					eventually(t, "the span", func() bool { n, _ := list.Counts(); return n == c.recorded })
					if c.recorded == 1 && (list.all[0].ID != tc.span || list.all[0].Trace != tc.trace) {
						t.Errorf("the target's parent %q is not the span %+v", got, list.all[0])
					}
				}
			})
		}
	}
}

func TestWhatTheRouterRefusesOnARouteIsASpanToo(t *testing.T) {
	list := &spans{}
	s := serve(t, Options{Spans: list, SampleShare: 1, MaxBody: 10})
	s.set(t, Table{Routes: []Route{{Path: "/", Service: "web"}}, Services: map[string][]Target{"web": {}}})
	s.do(t, http.MethodPost, "/", strings.NewReader("more than ten bytes"), nil)
	eventually(t, "the span", func() bool { n, _ := list.Counts(); return n == 1 })
	if got := list.all[0]; got.Status != 413 || got.Failure != "too_large" || got.Task != "" || got.Attempts != 0 {
		t.Errorf("%+v", got)
	}
}

func TestATraceparentIsReadAsItIsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tc traceContext
		copy(tc.trace[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "trace"))
		copy(tc.span[:], rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "span"))
		tc.flags = byte(rapid.IntRange(0, 3).Draw(t, "flags"))
		text := string(tc.append(nil))
		got, ok := parseTraceparent(text)
		if ok != (tc.trace != [16]byte{} && tc.span != [8]byte{}) || got != tc {
			t.Fatalf("%q is read as %+v, %v", text, got, ok)
		}
		// Whatever it is cut or changed to, it is read or refused.
		at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
		parseTraceparent(text[:at] + rapid.String().Draw(t, "by") + text[at+1:])
	})
}
