package compose_test

import (
	"strings"
	"testing"

	"plimsoll/compose"
)

// formula loads a file with a formula over the triggers a and b.
func formula(t *testing.T, expression string) *compose.Formula {
	t.Helper()
	p, err := compose.Load(write(t, `services: {web: {command: [x], x-plimsoll: {max: 5,
  formula: {expression: "`+expression+`"},
  triggers: [{type: aws-sqs-queue, name: a, queue: a}, {type: aws-sqs-queue, name: b, queue: b}]}}}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	return p.Services[0].Scaling.Formula
}

func TestAFormulaIsEvaluatedOverTheReadingsInTheirOrder(t *testing.T) {
	for expression, want := range map[string]float64{
		"a - b": 7, "max(a, b * 5)": 15, "a > 9 ? ceil(b / 2) : 1": 2, "a + b + 1": 14, "int(a) + b": 13,
	} {
		if got, err := formula(t, expression).Evaluate([]float64{10, 3}); err != nil || got != want {
			t.Errorf("%s over 10 and 3 is %v, error %v; want %v", expression, got, err, want)
		}
	}
}

func TestAFormulaThatFailsSaysWhyInOneLine(t *testing.T) {
	_, err := formula(t, "sum(map(1..int(a), # * b))").Evaluate([]float64{1e9, 1})
	if err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}
