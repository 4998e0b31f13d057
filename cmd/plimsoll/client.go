package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// requestTimeout bounds a request that does not follow anything.
const requestTimeout = 30 * time.Second

// endpointFlags say which Plimsoll is asked.
type endpointFlags struct {
	ui, state string
	token     tokenFlags
}

func (f *endpointFlags) add(cmd *cobra.Command) {
	stateFlag(cmd, &f.state)
	cmd.Flags().StringVar(&f.ui, "ui", "", "URL of the REST API (without it: $PLIMSOLL_UI, else that of the Plimsoll that runs with --state)")
	f.token.add(cmd, "token of the REST API (without it: $PLIMSOLL_TOKEN, else the state's)")
}

// client finds the API: by the flag, the environment, or the state.
func (c *console) client(f *endpointFlags) (*client, error) {
	token, err := f.token.read()
	if err != nil {
		return nil, err
	}
	if token == "" {
		token = c.env("PLIMSOLL_TOKEN")
	}
	address, from := f.ui, "--ui"
	if address == "" {
		address, from = c.env("PLIMSOLL_UI"), "PLIMSOLL_UI"
	}
	if address == "" {
		run, err := running(f.state)
		if err != nil {
			return nil, err
		}
		if run.UI == "" {
			return nil, fmt.Errorf("what runs with the state %q has no REST API; plimsoll up has one, and plimsoll run with --ui", f.state)
		}
		if token == "" {
			token = run.Token
		}
		return &client{url: run.UI, token: token}, nil
	}
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, misusef("%s is %q; allowed: a URL such as http://127.0.0.1:4500", from, address)
	}
	return &client{url: strings.TrimSuffix(address, "/"), token: token}, nil
}

// client asks the REST API of one Plimsoll.
type client struct {
	url, token string
}

// raw is an answer's text.
func (a *client) raw(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	answer, err := a.open(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Close() }()
	return io.ReadAll(answer)
}

// get reads an answer into a value.
func (a *client) get(ctx context.Context, path string, to any) error {
	text, err := a.raw(ctx, path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, to); err != nil {
		return fmt.Errorf("%s%s: the answer is not as it should be (is this a Plimsoll of another version?): %w", a.url, path, err)
	}
	return nil
}

// post sends a value and reads the answer into another, if there is one.
func (a *client) post(ctx context.Context, path string, value, to any) error {
	var body io.Reader
	if value != nil {
		text, err := json.Marshal(value)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	answer, err := a.open(ctx, http.MethodPost, path, body)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Close() }()
	text, err := io.ReadAll(answer)
	if err != nil || to == nil {
		return err
	}
	return json.Unmarshal(text, to)
}

// open sends a request and gives the body of a good answer.
func (a *client) open(ctx context.Context, method, path string, body io.Reader) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, method, a.url+path, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if a.token != "" {
		request.Header.Set("Authorization", "Bearer "+a.token)
	}
	answer, err := http.DefaultClient.Do(request)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("nothing answers at %s; start it with plimsoll up, or name another address with --ui", a.url)
	}
	if err != nil {
		return nil, err
	}
	if answer.StatusCode/100 == 2 {
		return answer.Body, nil
	}
	defer func() { _ = answer.Body.Close() }()
	return nil, refusal(answer)
}

// refusal is the error that an answer carries.
func refusal(answer *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if err != nil {
		return err
	}
	var told struct{ Error string }
	if json.Unmarshal(text, &told) != nil || told.Error == "" {
		return fmt.Errorf("%s: %s; is this the address of a Plimsoll?", answer.Request.URL, answer.Status)
	}
	if answer.StatusCode == http.StatusUnauthorized {
		return errors.New(told.Error + "; give it with --token-file, --token or $PLIMSOLL_TOKEN")
	}
	return errors.New(told.Error)
}

// servicePath is the address of one service.
func servicePath(name string, verb ...string) string {
	return "/v1/services/" + strings.Join(append([]string{url.PathEscape(name)}, verb...), "/")
}

// completeService completes the names of services from the running Plimsoll;
// without one there is nothing to complete.
func (c *console) completeService(f *endpointFlags, suffix string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		const none = cobra.ShellCompDirectiveNoFileComp
		api, err := c.client(f)
		if err != nil {
			return nil, none
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		list, err := listServices(ctx, api)
		if err != nil {
			return nil, none
		}
		var names []string
		for _, s := range list {
			names = append(names, s.Name+suffix)
		}
		if suffix != "" {
			return names, none | cobra.ShellCompDirectiveNoSpace
		}
		return names, none
	}
}
