package app

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"plimsoll/engine/awsapi"
)

// Account is the AWS account of the embedded engine's own key.
const Account = "123456789012"

// stateDir is the folder of a run: the engine's store, the tasks, the loop's
// memory, the credentials and the run file.
type stateDir string

func openState(dir string) (stateDir, error) {
	state, err := openFolder(dir)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(state.path(markName)); err == nil {
		return "", fmt.Errorf("--state %q: %w", dir, errInterrupted)
	}
	return state, nil
}

func openFolder(dir string) (stateDir, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("--state %q: %w", dir, err)
	}
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return "", fmt.Errorf("--state %q: %w", dir, err)
	}
	return stateDir(abs), nil
}

func (s stateDir) path(name string) string { return filepath.Join(string(s), name) }

// RunFile is what a running Plimsoll tells the other commands about itself, in
// <state>/plimsoll.json. It stays when the run ends, so that the next one can
// take the same ports; Ended then says when.
type RunFile struct {
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
	Region  string    `json:"region"`
	UI      string    `json:"ui,omitempty"`
	Router  string    `json:"router,omitempty"`
	AWS     string    `json:"aws,omitempty"`
	Token   string    `json:"token,omitempty"`
	// Ports are those of the listeners, by flag.
	Ports map[string]int `json:"ports,omitempty"`
}

const runFileName = "plimsoll.json"

// lastRun reads the run file of an earlier run; a missing or damaged one is an
// empty one, since nothing in it is needed to start.
func (s stateDir) lastRun() RunFile {
	var run RunFile
	data, err := os.ReadFile(s.path(runFileName))
	if err != nil || json.Unmarshal(data, &run) != nil {
		return RunFile{}
	}
	return run
}

func (s stateDir) writeRun(run RunFile) error {
	data, err := json.MarshalIndent(run, "", "  ")
	if err != nil {
		return err
	}
	return s.writeFile(runFileName, append(data, '\n'))
}

// writeRun writes the run file, and has the stack note the run's end in it.
func (s *stack) writeRun(state stateDir, run RunFile) error {
	s.push("the run file", func(context.Context) error {
		run.Ended = time.Now()
		return state.writeRun(run)
	})
	return state.writeRun(run)
}

// writeFile replaces a file of the state whole, readable by its owner only.
func (s stateDir) writeFile(name string, data []byte) error {
	temp, err := os.CreateTemp(string(s), name+".*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	if _, err := temp.Write(data); err != nil {
		return errors.Join(err, temp.Close())
	}
	if err := errors.Join(temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), s.path(name))
}

const (
	credentialsName = "credentials"
	secretName      = "agent-secret"
)

// credentials reads the engine's access key, and makes one at the first start.
func (s stateDir) credentials() (awsapi.Keys, error) {
	keys, err := readCredentials(s.path(credentialsName))
	if !errors.Is(err, fs.ErrNotExist) {
		return keys, err
	}
	if keys, err = awsapi.NewKeys(rand.Reader, Account); err != nil {
		return keys, err
	}
	text := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", keys.AccessKeyID, keys.Secret)
	return keys, s.writeFile(credentialsName, []byte(text))
}

// secret reads the key that the tasks' own addresses are made unguessable
// with, and makes one at the first start.
func (s stateDir) secret() ([]byte, error) {
	data, err := os.ReadFile(s.path(secretName))
	if err == nil && len(data) >= 32 {
		return data, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	data = make([]byte, 32)
	_, _ = rand.Read(data) // never fails: it ends the program instead
	return data, s.writeFile(secretName, data)
}

// readCredentials reads the [default] profile of a shared-credentials file.
func readCredentials(path string) (awsapi.Keys, error) {
	keys := awsapi.Keys{Account: Account}
	file, err := os.Open(path)
	if err != nil {
		return keys, err
	}
	defer func() { _ = file.Close() }()
	profile := ""
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "[") {
			profile = strings.Trim(line, "[] ")
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || profile != "default" {
			continue
		}
		switch strings.TrimSpace(name) {
		case "aws_access_key_id":
			keys.AccessKeyID = strings.TrimSpace(value)
		case "aws_secret_access_key":
			keys.Secret = strings.TrimSpace(value)
		}
	}
	if keys.AccessKeyID == "" || keys.Secret == "" {
		return keys, fmt.Errorf("%s: no aws_access_key_id and aws_secret_access_key in [default]; put them back, or remove the file to have new ones made", path)
	}
	return keys, nil
}
