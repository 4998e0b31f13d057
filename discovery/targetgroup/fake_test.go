package targetgroup_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// fakeELB has one target group, whose targets drain for so many looks at them. A
// call with an invalid target is refused whole, as Elastic Load Balancing does.
type fakeELB struct {
	kind    string
	looks   int
	invalid string // an id

	mu      sync.Mutex
	targets map[string]string // states, by id:port
	drain   map[string]int
	calls   map[string]int
}

const fakeARN = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/0123456789abcdef"

func fake(t *testing.T, kind string) (*fakeELB, balancer) {
	t.Helper()
	f := &fakeELB{kind: kind, targets: map[string]string{}, drain: map[string]int{}, calls: map[string]int{}}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	b := connect(server.URL)
	b.arn, b.list = fakeARN, f.registered
	b.put = func(t *testing.T, id string, port int) {
		f.change(func() { f.targets[fmt.Sprintf("%s:%d", id, port)] = "healthy" })
	}
	return f, b
}

func (f *fakeELB) change(what func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	what()
}

// registered are the targets that do not drain.
func (f *fakeELB) registered(*testing.T) (list []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for t, state := range f.targets {
		if state != "draining" {
			list = append(list, t)
		}
	}
	slices.Sort(list)
	return list
}

func (f *fakeELB) count(action string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[action]
}

func (f *fakeELB) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = r.ParseForm()
	action := r.PostForm.Get("Action")
	f.calls[action]++
	var asked []string
	for n := 1; ; n++ {
		id := r.PostForm.Get(fmt.Sprintf("Targets.member.%d.Id", n))
		if id == "" {
			break
		}
		if id == f.invalid && action != "DescribeTargetHealth" {
			refuse(w, "InvalidTarget", "it is not in the VPC")
			return
		}
		asked = append(asked, id+":"+r.PostForm.Get(fmt.Sprintf("Targets.member.%d.Port", n)))
	}
	if arn := r.PostForm.Get("TargetGroupArn"); arn != "" && arn != fakeARN {
		refuse(w, "TargetGroupNotFound", "no such group")
		return
	}
	_, _ = fmt.Fprintf(w, "<%sResponse><%[1]sResult>", action)
	switch action {
	case "DescribeTargetGroups":
		if name := r.PostForm.Get("Names.member.1"); name == "" || name == "web" {
			_, _ = fmt.Fprintf(w, "<TargetGroups><member><TargetGroupArn>%s</TargetGroupArn><TargetType>%s</TargetType></member></TargetGroups>", fakeARN, f.kind)
		}
	case "RegisterTargets":
		for _, t := range asked {
			f.targets[t] = "initial"
		}
	case "DeregisterTargets":
		for _, t := range asked {
			if f.targets[t] != "" {
				f.targets[t], f.drain[t] = "draining", f.looks
			}
		}
	case "DescribeTargetHealth":
		f.health(w, asked)
	}
	_, _ = fmt.Fprintf(w, "</%sResult></%[1]sResponse>", action)
}

func (f *fakeELB) health(w io.Writer, asked []string) {
	all := len(asked) == 0
	if all {
		for t := range f.targets {
			asked = append(asked, t)
		}
	}
	_, _ = io.WriteString(w, "<TargetHealthDescriptions>")
	for _, t := range asked {
		state := f.targets[t]
		if f.drain[t]--; state == "draining" && f.drain[t] < 0 {
			delete(f.targets, t)
			state = ""
		}
		if state == "" && all {
			continue // only who asks for it is told that it is not registered
		}
		if state == "" {
			state = "unused"
		}
		at := strings.LastIndex(t, ":")
		_, _ = fmt.Fprintf(w, "<member><Target><Id>%s</Id><Port>%s</Port></Target><TargetHealth><State>%s</State></TargetHealth></member>", t[:at], t[at+1:], state)
	}
	_, _ = io.WriteString(w, "</TargetHealthDescriptions>")
}

func refuse(w http.ResponseWriter, code, message string) {
	w.WriteHeader(http.StatusBadRequest)
	_, _ = fmt.Fprintf(w, "<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>", code, message)
}
