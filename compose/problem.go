package compose

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Problem is one thing that is wrong, or worth knowing, about a file.
type Problem struct {
	// File is the name that the file was asked for by.
	File string
	// Line and Column start at 1; 0 where the place is not known.
	Line, Column int
	// Path is the place in the file's structure: services.web.x-plimsoll.min.
	Path string
	// Message says what was found, what is allowed, and what to do.
	Message string
}

// String gives file:line:column: path: message, without the parts that are
// not known.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
		if p.Column > 0 {
			fmt.Fprintf(&b, ":%d", p.Column)
		}
	}
	b.WriteString(": ")
	if p.Path != "" {
		b.WriteString(p.Path)
		b.WriteString(": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// FileError is the error of a file that cannot be used: all that is wrong with
// it at once, in the order of the lines.
type FileError struct{ Problems []Problem }

// Error gives one line for each problem.
func (e *FileError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// report collects problems while one file is read.
type report struct {
	file     string
	errors   []Problem
	warnings []Problem
}

func (r *report) add(line, column int, path, format string, args ...any) {
	r.errors = append(r.errors, Problem{r.file, line, column, path, fmt.Sprintf(format, args...)})
}

// at adds an error about the value of a node.
func (r *report) at(n *node, format string, args ...any) {
	r.add(n.line, n.column, n.path, format, args...)
}

// atKey adds an error about the key of an entry.
func (r *report) atKey(e entry, format string, args ...any) {
	r.add(e.line, e.column, e.value.path, format, args...)
}

func (r *report) warn(line, column int, path, format string, args ...any) {
	r.warnings = append(r.warnings, Problem{r.file, line, column, path, fmt.Sprintf(format, args...)})
}

// err is nil if nothing is wrong.
func (r *report) err() error {
	if len(r.errors) == 0 {
		return nil
	}
	return &FileError{Problems: inOrder(r.errors)}
}

// inOrder sorts by place and drops what is said twice.
func inOrder(problems []Problem) []Problem {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Path, b.Path))
	})
	return slices.Compact(problems)
}

// unknown says that a word is not among the known ones, with the nearest of
// them if one is near, and the allowed ones (nil: the known ones).
func unknown(what, word string, known, allowed []string) string {
	if allowed == nil {
		allowed = known
	}
	text := fmt.Sprintf("unknown %s %q", what, word)
	if near := nearest(word, known); near != "" {
		text += fmt.Sprintf("; did you mean %q?", near)
	} else {
		text += ";"
	}
	return text + " allowed: " + strings.Join(allowed, ", ")
}

// nearest is the allowed word with the smallest edit distance, if that is at
// most a third of its length (at least 2); else it is empty.
func nearest(word string, allowed []string) string {
	best, bestDistance := "", 0
	for _, candidate := range allowed {
		d := distance(strings.ToLower(word), strings.ToLower(candidate))
		limit := max(2, utf8.RuneCountInString(candidate)/3)
		if d > limit || d >= utf8.RuneCountInString(candidate) {
			continue
		}
		if best == "" || d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// distance is the Levenshtein distance of two words.
func distance(a, b string) int {
	from, to := []rune(a), []rune(b)
	row := make([]int, len(to)+1)
	for j := range row {
		row[j] = j
	}
	for i, x := range from {
		diagonal := row[0]
		row[0] = i + 1
		for j, y := range to {
			cost := 1
			if x == y {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(to)]
}
