package ecsapi

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/engine/awsapi"
	"plimsoll/engine/runtime"
)

// credentialLife is how long a task's credentials hold; an SDK asks for new ones
// before that.
const credentialLife = 6 * time.Hour

// Issuer issues temporary credentials: awsapi.Keys is one.
type Issuer interface {
	Issue(name, roleARN string, expires time.Time) awsapi.Issued
}

// AgentOptions are what an Agent is made with.
type AgentOptions struct {
	// Secret makes the tasks' own addresses unguessable: at least 16 bytes, the
	// same over restarts, because tasks outlive the engine.
	Secret []byte
	// URL is where tasks reach the Agent, and Endpoint where they reach the AWS
	// endpoint, without a slash at the end. Both should stay the same over
	// restarts.
	URL, Endpoint string
	Region        string
	// Releases tells that tasks may release themselves at URL: TaskEnv says how.
	Releases bool
	// Keys issues the credentials of tasks with a role.
	Keys Issuer
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Agent is what the ECS agent is to a task: the metadata endpoints, the
// task-protection endpoint and the credentials of its role, over plain HTTP. A
// task is known by the part of its URL that only it was told, so each task sees
// only itself. TaskEnv tells a task where that is.
type Agent struct {
	o      AgentOptions
	mux    *http.ServeMux
	engine atomic.Pointer[Engine]
	meter  atomic.Pointer[runtime.Meter]
	limits requestLimits
}

// NewAgent makes the agent. It answers 503 until Attach has given it the
// engine, which is made with the agent's TaskEnv.
func NewAgent(o AgentOptions) (*Agent, error) {
	if len(o.Secret) < 16 {
		return nil, fmt.Errorf("the agent's secret has %d bytes; it needs at least 16", len(o.Secret))
	}
	for name, text := range map[string]string{"URL": o.URL, "endpoint": o.Endpoint} {
		if u, err := url.Parse(text); err != nil || u.Host == "" {
			return nil, fmt.Errorf("the agent's %s %q is not a URL such as \"http://127.0.0.1:4581\"", name, text)
		}
	}
	if o.Region == "" {
		return nil, errors.New("the agent needs a region, such as \"us-east-1\"")
	}
	if o.Keys == nil {
		return nil, errors.New("the agent needs keys to issue the tasks' credentials from")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &Agent{o: o, mux: http.NewServeMux()}
	for _, version := range []string{"v3", "v4"} {
		a.mux.HandleFunc("GET /"+version+"/{id}", a.forTask(a.container))
		a.mux.HandleFunc("GET /"+version+"/{id}/task", a.forTask(a.task))
		a.mux.HandleFunc("GET /"+version+"/{id}/taskWithTags", a.forTask(a.taskWithTags))
		a.mux.HandleFunc("GET /"+version+"/{id}/stats", a.stats(false))
		a.mux.HandleFunc("GET /"+version+"/{id}/task/stats", a.stats(true))
	}
	a.mux.HandleFunc("GET /introspection/{id}/{$}", a.forTask(a.commands))
	a.mux.HandleFunc("GET /introspection/{id}/v1/metadata", a.forTask(a.host))
	a.mux.HandleFunc("GET /introspection/{id}/v1/tasks", a.introspect)
	a.mux.HandleFunc("GET /v2/credentials/{id}", a.forTask(a.credentials))
	a.mux.HandleFunc("GET /api/{id}/task-protection/v1/state", a.getProtection)
	a.mux.HandleFunc("PUT /api/{id}/task-protection/v1/state", a.putProtection)
	return a, nil
}

// Attach gives the agent the engine.
func (a *Agent) Attach(e Engine) { a.engine.Store(&e) }

// ServeHTTP answers a task.
func (a *Agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.engine.Load() == nil {
		http.Error(w, "the engine is starting", http.StatusServiceUnavailable)
		return
	}
	if address := addressIn(r.URL.Path); address != "" && !a.limits.allow(address, a.o.Now()) {
		http.Error(w, "You have reached maximum request limit.", http.StatusTooManyRequests)
		return
	}
	a.mux.ServeHTTP(w, r)
}

// addressIn is the part of a path that a task is known by; empty without one.
func addressIn(path string) string {
	for part := range strings.SplitSeq(path, "/") {
		if strings.Contains(part, "-") && len(part) > 32 {
			return part
		}
	}
	return ""
}

// TaskEnv is the environment that tells a task's containers of the agent and of
// the AWS endpoint. It is a pure function of the options.
func (a *Agent) TaskEnv(taskID string, hasRole bool) map[string]string {
	id := a.address(taskID)
	env := map[string]string{
		"ECS_CONTAINER_METADATA_URI":    a.o.URL + "/v3/" + id,
		"ECS_CONTAINER_METADATA_URI_V4": a.o.URL + "/v4/" + id,
		"ECS_AGENT_URI":                 a.o.URL + "/api/" + id,
		"ECS_INTROSPECTION_URI":         a.o.URL + "/introspection/" + id,
		"AWS_EXECUTION_ENV":             "AWS_ECS_EC2",
		"AWS_REGION":                    a.o.Region,
		"AWS_DEFAULT_REGION":            a.o.Region,
		"AWS_ENDPOINT_URL":              a.o.Endpoint,
	}
	if a.o.Releases {
		env["PLIMSOLL_RELEASE_URI"] = a.o.URL + "/v1/tasks/" + taskID + "/release"
		env["PLIMSOLL_RELEASE_TOKEN"] = a.code("release " + taskID)
	}
	if hasRole {
		env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = a.o.URL + "/v2/credentials/" + id
	}
	return env
}

var addressEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// address is the part of the URLs that only the task knows: its id, and a code
// of authentication over it.
func (a *Agent) address(taskID string) string {
	return taskID + "-" + a.code("task "+taskID)
}

// code authenticates a text: who has not the secret cannot make it.
func (a *Agent) code(text string) string {
	mac := hmac.New(sha256.New, a.o.Secret)
	mac.Write([]byte(text))
	return addressEncoding.EncodeToString(mac.Sum(nil)[:20])
}

// Owns tells whether a token is the one that a task, named by its ARN or id, was
// given to release itself with.
func (a *Agent) Owns(task, token string) bool {
	return hmac.Equal([]byte(token), []byte(a.code("release "+plimsoll.ARNName(task))))
}

// taskAt finds the task that an address is of, with a read of the state.
func (a *Agent) taskAt(r *http.Request, f func(v engine.View, t *engine.Task)) bool {
	address := r.PathValue("id")
	id, _, ok := cutLast(address, '-')
	if !ok || !hmac.Equal([]byte(a.address(id)), []byte(address)) {
		return false
	}
	found := false
	(*a.engine.Load()).Read(func(v engine.View) {
		var t *engine.Task
		if t, found = v.Task("", id); found {
			f(v, t)
		}
	})
	return found
}

func cutLast(s string, sep byte) (before, after string, found bool) {
	if i := strings.LastIndexByte(s, sep); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// forTask makes a handler of a function that tells something of a task; nil is
// nothing to tell.
func (a *Agent) forTask(tell func(v engine.View, t *engine.Task) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var answer any
		found := a.taskAt(r, func(v engine.View, t *engine.Task) { answer = tell(v, t) })
		if !found || answer == nil {
			writeJSON(w, http.StatusNotFound, "unable to get what "+r.URL.Path[:strings.LastIndexByte(r.URL.Path, '/')+1]+
				"… names: no such task, or it has none")
			return
		}
		writeJSON(w, http.StatusOK, answer)
	}
}

// taskCredentials are the credentials of a task's role, as SDKs read them.
type taskCredentials struct {
	RoleArn         string
	AccessKeyID     string `json:"AccessKeyId"`
	SecretAccessKey string
	Token           string
	Expiration      time.Time
}

func (a *Agent) credentials(v engine.View, t *engine.Task) any {
	d, ok := definitionOf(v, t)
	if !ok || d.TaskRoleARN == "" || !live(t) {
		return nil
	}
	issued := a.o.Keys.Issue(t.ID, d.TaskRoleARN, a.o.Now().Add(credentialLife))
	return taskCredentials{
		RoleArn: issued.RoleARN, AccessKeyID: issued.AccessKeyID, SecretAccessKey: issued.SecretAccessKey,
		Token: issued.Token, Expiration: issued.Expires,
	}
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(data) // a task that has gone away is told nothing
}
