package api

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestEachMetricIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range slices.Concat(figures, routedFigures) {
		help := m.help
		if !strings.Contains(string(text), "| `plimsoll_"+m.name+"` |") || !strings.Contains(string(text), help) {
			t.Errorf("docs/metrics.md does not say what plimsoll_%s is (%q)", m.name, help)
		}
	}
}
