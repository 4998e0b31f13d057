package cloudwatch

import (
	"cmp"
	"slices"
	"strings"
)

// Dimension is one name and value that a metric is told from others by.
type Dimension struct{ Name, Value string }

// Metric names a series of samples.
type Metric struct {
	Namespace, Name string
	// Dimensions are in the order of their names.
	Dimensions []Dimension
}

// NewMetric puts the dimensions in order.
func NewMetric(namespace, name string, dimensions ...Dimension) Metric {
	dimensions = slices.Clone(dimensions)
	slices.SortFunc(dimensions, func(a, b Dimension) int { return cmp.Compare(a.Name, b.Name) })
	return Metric{Namespace: namespace, Name: name, Dimensions: dimensions}
}

// key tells metrics apart, and puts them in the order of their listing. No
// member can have the zero byte in it: names are printable.
func (m Metric) key() string {
	var b strings.Builder
	b.WriteString(m.Namespace + "\x00" + m.Name)
	for _, d := range m.Dimensions {
		b.WriteString("\x00" + d.Name + "\x00" + d.Value)
	}
	return b.String()
}

// size is what the names take in bytes.
func (m Metric) size() int {
	n := len(m.Namespace) + len(m.Name)
	for _, d := range m.Dimensions {
		n += len(d.Name) + len(d.Value) + 32
	}
	return n
}
