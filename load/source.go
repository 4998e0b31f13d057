package load

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// Target is a service that gets a share of the requests.
type Target struct {
	// URL is where the requests go, with no path: "http://127.0.0.1:8080".
	URL string
	// Host is the Host field of the requests; empty is the URL's host.
	Host string
	// Header has more fields of the requests.
	Header http.Header
	// Paths are asked for in turn; placeholders as in Template.
	Paths []string
	// Share is the weight among the targets; 0 is 1.
	Share float64
}

// Queue is a queue that gets a share of the messages.
type Queue struct {
	// Name is handed to the Sender.
	Name string
	// Bodies are sent in turn; placeholders as in Template.
	Bodies []string
	// Share is the weight among the queues; 0 is 1.
	Share float64
}

// turn deals out texts: to each of several sources its share, smoothly, and each
// source's texts in turn. It is safe for concurrent use.
type turn struct {
	mu      sync.Mutex
	random  *rand.Rand
	sources []*source
	total   float64
}

type source struct {
	name  string // of the queue
	url   string
	host  string
	more  http.Header
	texts []Template
	share float64
	due   float64
	count uint64
}

func (t *turn) add(s *source, texts []string, share float64) error {
	if len(texts) == 0 {
		return fmt.Errorf("%q has nothing to send: give it at least one path or body", s.name+s.url)
	}
	if share == 0 {
		share = 1
	}
	if !(share > 0) || math.IsInf(share, 0) {
		return fmt.Errorf("share %v of %q: it must be a number over 0", share, s.name+s.url)
	}
	for _, text := range texts {
		template, err := ParseTemplate(text)
		if err != nil {
			return err
		}
		s.texts = append(s.texts, template)
	}
	s.share = share
	t.total += share
	t.sources = append(t.sources, s)
	return nil
}

// next is the source whose turn it is, and its text. Smooth weighted round
// robin: each gains its share, the one with most pays the total.
func (t *turn) next() (*source, string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var best *source
	for _, s := range t.sources {
		s.due += s.share
		if best == nil || s.due > best.due {
			best = s
		}
	}
	best.due -= t.total
	text := best.texts[best.count%uint64(len(best.texts))]
	best.count++
	return best, text.Expand(best.count, t.random)
}

func targets(list []Target, random *rand.Rand) (*turn, error) {
	t := &turn{random: random}
	for _, target := range list {
		u, err := url.Parse(target.URL)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return nil, fmt.Errorf("target %q: it must be an URL such as %q", target.URL, "http://127.0.0.1:8080")
		}
		for _, path := range target.Paths {
			if !strings.HasPrefix(path, "/") {
				return nil, fmt.Errorf("path %q of target %q: it must begin with a slash", path, target.URL)
			}
		}
		s := &source{url: strings.TrimSuffix(target.URL, "/"), host: target.Host, more: target.Header}
		if err := t.add(s, target.Paths, target.Share); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func queues(list []Queue, random *rand.Rand) (*turn, error) {
	t := &turn{random: random}
	for _, q := range list {
		if err := t.add(&source{name: q.Name}, q.Bodies, q.Share); err != nil {
			return nil, err
		}
	}
	return t, nil
}
