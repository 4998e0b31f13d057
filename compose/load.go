package compose

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/interpolation"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v4"
)

// MaxSize bounds a compose file, in bytes.
const MaxSize = 1 << 20

// fileNames are the names that a compose file may have where none is given;
// the first that exists is taken.
func fileNames() []string {
	return []string{"compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"}
}

// Find is the compose file of a folder. The error names the names it may have.
func Find(dir string) (string, error) {
	for _, name := range fileNames() {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no compose file in %q: name one with --file, or write one of %s", dir, strings.Join(fileNames(), ", "))
}

// Load reads a compose file. Variables are filled in from environ ("K=V", as
// os.Environ gives it) and, for those it has not, from the file .env beside the
// compose file. An error about the file is a *FileError with all problems.
func Load(file string, environ []string) (*Project, error) {
	r := &report{file: file}
	content, err := read(file)
	if err != nil {
		r.add(0, 0, "", "%v", err)
		return nil, r.err()
	}
	absolute, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	p := &Project{File: absolute, Dir: filepath.Dir(absolute)}
	variables := environment(r, p.Dir, environ)
	root, err := grow(r, content, variables)
	if err != nil {
		return nil, err
	}
	if err := r.assemble(p, root, variables); err != nil {
		return nil, err
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	p.Warnings = inOrder(r.warnings)
	return p, nil
}

// read reads the file; its errors say what the matter is, without the name.
func read(file string) ([]byte, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("no such file; name the compose file with --file")
	}
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, errors.New("is a folder; name the compose file in it")
	}
	content, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, err
	}
	switch {
	case len(content) > MaxSize:
		return nil, fmt.Errorf("is larger than %d bytes, the most that is read", MaxSize)
	case len(bytes.TrimSpace(content)) == 0:
		return nil, errors.New("is empty; a compose file has at least services")
	}
	return content, nil
}

// environment is what variables are filled in from.
func environment(r *report, dir string, environ []string) map[string]string {
	variables := types.NewMapping(environ)
	path := filepath.Join(dir, ".env")
	if info, err := os.Stat(path); err != nil || info.IsDir() {
		return variables
	}
	fromFile, err := dotenv.GetEnvFromFile(variables, []string{path})
	if err != nil {
		r.add(0, 0, "", "%s: %v", path, err)
		return variables
	}
	for name, value := range fromFile {
		if _, set := variables[name]; !set {
			variables[name] = value
		}
	}
	return variables
}

// grow parses the text and fills its variables in. The error is that of a text
// which is no tree at all; other problems are only reported.
func grow(r *report, content []byte, variables map[string]string) (*node, error) {
	if i := invalidUTF8(content); i >= 0 {
		line := 1 + bytes.Count(content[:i], []byte("\n"))
		r.add(line, i-bytes.LastIndexByte(content[:i], '\n'), "", "the byte 0x%02x is not UTF-8; save the file as UTF-8", content[i])
		return nil, r.err()
	}
	documents, err := yaml.NewLoader(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	var first, second yaml.Node
	if err := documents.Load(&first); err != nil {
		r.syntax(err, content)
		return nil, r.err()
	}
	if err := documents.Load(&second); err == nil {
		r.add(second.Line, second.Column, "", "a second YAML document begins here; a compose file has one")
		return nil, r.err()
	} else if !errors.Is(err, io.EOF) {
		r.syntax(err, content)
		return nil, r.err()
	}
	p := &planter{report: r, variables: func(name string) (string, bool) {
		value, set := variables[name]
		return value, set
	}}
	root, err := p.plant(first.Content[0], "", 0)
	if errors.Is(err, errTooLarge) {
		r.add(p.last.Line, p.last.Column, "", "the file has more than %d values or %d levels once its aliases are expanded; write it without nested aliases", maxNodes, maxDepth)
		return nil, r.err()
	}
	if err != nil {
		return nil, err
	}
	if root == nil || root.kind != yaml.MappingNode {
		if root != nil {
			r.at(root, "found %s, allowed: a mapping with services", root.describe())
		}
		return nil, r.err()
	}
	return root, nil
}

func invalidUTF8(content []byte) int {
	for i := 0; i < len(content); {
		c, size := utf8.DecodeRune(content[i:])
		if c == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// syntax reports an error of the YAML parser at its place.
func (r *report) syntax(err error, content []byte) {
	var e *yaml.LoadError
	if errors.Is(err, io.EOF) {
		r.add(0, 0, "", "is empty; a compose file has at least services")
		return
	}
	if !errors.As(err, &e) {
		r.add(0, 0, "", "not YAML: %v", err)
		return
	}
	text := e.Message
	if e.ContextMsg != "" {
		text = e.ContextMsg + " of line " + fmt.Sprint(e.ContextMark.Line) + ": " + text
	}
	lines := bytes.Split(content, []byte("\n"))
	if i := e.Mark.Line - 1; i >= 0 && i < len(lines) && bytes.ContainsRune(leading(lines[i]), '\t') {
		text += "; indent with spaces, not with tabs"
	}
	r.add(e.Mark.Line, e.Mark.Column, "", "not YAML: %s", text)
}

func leading(line []byte) []byte {
	return line[:len(line)-len(bytes.TrimLeft(line, " \t"))]
}

// assemble makes the project out of the tree. What is wrong is reported; the
// error is for what nobody can help by changing the file.
func (r *report) assemble(p *Project, root *node, variables map[string]string) error {
	model, err := cast(root)
	if err != nil {
		r.foreign(root, err)
		return nil
	}
	if err := r.conform(root, model); err != nil {
		return err
	}
	r.screen(root)
	r.serviceNames(root)
	r.formats(p, root)
	p.Name = r.projectName(root, p.Dir, variables)
	scalings := r.scalings(p, root)
	if len(r.errors) > 0 {
		return nil
	}
	delete(model, "version")
	parsed, err := parseModel(p, model, variables)
	if err != nil {
		r.foreign(root, err)
		return nil
	}
	r.services(p, root, parsed, scalings)
	r.across(p, root)
	return nil
}

// cast gives the scalars that a variable was filled into the types that the
// specification has for their places.
func cast(root *node) (map[string]any, error) {
	standard := loader.ToOptions(&types.ConfigDetails{}, nil).Interpolate
	return interpolation.Interpolate(root.plain().(map[string]any), interpolation.Options{
		Substitute:      unchanged,
		TypeCastMapping: standard.TypeCastMapping,
	})
}

// unchanged takes the place of interpolation where it has been done.
func unchanged(text string, _ template.Mapping) (string, error) { return text, nil }

func parseModel(p *Project, model map[string]any, variables map[string]string) (*types.Project, error) {
	details := types.ConfigDetails{
		WorkingDir:  p.Dir,
		ConfigFiles: []types.ConfigFile{{Filename: p.File, Config: model}},
		Environment: variables,
	}
	return loader.LoadWithContext(context.Background(), details, func(o *loader.Options) {
		o.SetProjectName(p.Name, true)
		o.Interpolate = &interpolation.Options{Substitute: unchanged}
		o.SkipConsistencyCheck = true // it asks for an image, which a process has not
		o.SkipInclude, o.SkipExtends = true, true
		if profiles := variables["COMPOSE_PROFILES"]; profiles != "" {
			o.Profiles = strings.Split(profiles, ",")
		}
	})
}

// foreign reports an error of compose-go at the place that its text names.
func (r *report) foreign(root *node, err error) {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		for _, one := range joined.Unwrap() {
			r.foreign(root, one)
		}
		return
	}
	text := err.Error()
	place := regexp.MustCompile(`\b(services|networks|volumes|secrets|configs)[.\[][^\s:'"]+|\bname\b`).FindString(text)
	steps := strings.FieldsFunc(place, func(c rune) bool { return strings.ContainsRune(".[]", c) })
	text = regexp.MustCompile(`^'[^']+' `).ReplaceAllString(text, "")
	n, found := root.find(steps...)
	if found == 0 {
		r.add(0, 0, "", "%s", text)
		return
	}
	r.at(n, "found %s: %s", n.describe(), text)
}
