package query_test

import (
	"errors"
	"strings"
	"testing"

	"plimsoll/place/query"
)

// host is a container instance for tests.
type host struct {
	values map[string]string
	groups []string
}

func (h host) Value(subject string) (string, bool) {
	v, ok := h.values[subject]
	return v, ok
}
func (h host) Groups() []string { return h.groups }

var big = host{
	values: map[string]string{
		"attribute:ecs.instance-type": "t2.large", "attribute:ecs.availability-zone": "us-east-1a", "attribute:ssd": "",
		"attribute:rack": "7", "agentConnected": "true", "agentVersion": "1.14.3", "runningTasksCount": "3",
		"registeredAt": "2026-01-02T03:04:05Z", "ec2InstanceId": "i-abcd1234",
	},
	groups: []string{"service:web", "family:job"},
}

func TestAnExpressionHoldsAsTheLanguageSays(t *testing.T) {
	for text, want := range map[string]bool{
		"":                           true,
		"  ":                         true,
		"agentConnected == true":     true,
		"agentConnected equals TRUE": true,
		"attribute:ecs.instance-type == t2.small":                         false,
		"attribute:ecs.instance-type =~ t2.*":                             true,
		"attribute:ecs.instance-type =~ t2":                               false,
		"attribute:ecs.instance-type matches 't2\\.(small|large)'":        true,
		"attribute:ecs.instance-type !~ m4.*":                             true,
		"attribute:ecs.availability-zone in [us-east-1a, us-east-1b]":     true,
		"attribute:ecs.availability-zone not_in [us-east-1a]":             false,
		"attribute:ecs.availability-zone !in (us-east-1c)":                true,
		"attribute:ssd exists":                                            true,
		"attribute:gpu exists":                                            false,
		"attribute:gpu !exists":                                           true,
		"attribute:gpu ! exists":                                          true,
		"attribute:gpu not_exists":                                        true,
		"attribute:gpu == a":                                              false,
		"attribute:gpu != a":                                              true,
		"attribute:rack > 6":                                              true,
		"attribute:rack greater_than 10":                                  false,
		"attribute:rack <= 7":                                             true,
		"runningTasksCount less_than 3":                                   false,
		"runningTasksCount >= 3":                                          true,
		"agentVersion >= 1.9.0":                                           true,
		"agentVersion < 1.14":                                             false,
		"registeredAt < 2026-01-03":                                       true,
		"registeredAt > 2026-01-02T04:00:00Z":                             false,
		"task:group == service:web":                                       true,
		"task:group == service:db":                                        false,
		"task:group != service:web":                                       false,
		"not (task:group == service:db)":                                  true,
		"task:group =~ service:.*":                                        true,
		"ec2InstanceId in ['i-abcd1234', 'i-1']":                          true,
		"attribute:gpu exists or attribute:ssd exists":                    true,
		"attribute:gpu exists and attribute:ssd exists":                   false,
		"attribute:ssd exists && !(attribute:rack == 8)":                  true,
		"attribute:ssd exists || attribute:x == 1 and attribute:y == 1":   true,
		"(attribute:ssd exists || attribute:x == 1) and attribute:y == 1": false,
		"!attribute:gpu exists":                                           true,
	} {
		expr, err := query.Parse(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if got := expr.Holds(big); got != want {
			t.Errorf("%q holds: %t", text, got)
		}
	}
}

func TestAMistakeIsNamedWithItsPosition(t *testing.T) {
	for text, want := range map[string]struct {
		at    int
		words string
	}{
		"attribute:x":             {12, "an operator was expected"},
		"attribute: == a":         {1, "no name"},
		"attribute:x ==":          {15, "a value was expected, not the end"},
		"attribute:x = a":         {13, "no part of an expression"},
		"rack == a":               {1, `subject "rack" is unknown`},
		"(attribute:x == a":       {18, "closing parenthesis"},
		"attribute:x == a)":       {17, `")" was not expected`},
		"attribute:x in a":        {16, "a list in brackets"},
		"attribute:x in [a":       {18, "a comma or the end of the list"},
		"attribute:x in []":       {17, "a value was expected"},
		"attribute:x == 'a":       {16, "has no end"},
		"attribute:x =~ '['":      {16, "no regular expression"},
		"attribute:x == a or":     {20, "a subject was expected"},
		"attribute:x like a":      {13, "an operator was expected"},
		strings.Repeat("(", 60):   {52, "deep"},
		strings.Repeat("a", 2001): {2001, "at most 2000"},
		"attribute:x == a b":      {18, "was not expected here"},
	} {
		_, err := query.Parse(text)
		var mistake *query.Error
		if !errors.As(err, &mistake) || mistake.At != want.at || !strings.Contains(mistake.Reason, want.words) {
			t.Errorf("%q: got %v, want position %d with %q", text, err, want.at, want.words)
		}
	}
}

func TestOnlyExpressionsOverAttributesAreFixed(t *testing.T) {
	for text, want := range map[string]bool{
		"": true, "attribute:x == a and not attribute:y exists": true,
		"attribute:x == a or runningTasksCount < 3": false, "task:group == a": false,
	} {
		if expr, err := query.Parse(text); err != nil || expr.Fixed() != want {
			t.Errorf("%q is fixed: %t, %v", text, expr.Fixed(), err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"attribute:ecs.instance-type =~ t2.*", "(a or b) and not c", "task:group in ['a', \"b\"]", "!!attribute:x exists",
		"attribute:x !~ '('", "agentVersion >= 1.2.3 && registeredAt < 2026-01-01", "((((", "attribute:x in (a,b]", "\x00é\"",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		expr, err := query.Parse(text)
		var mistake *query.Error
		switch {
		case err == nil:
			expr.Holds(big)
			expr.Holds(host{})
		case !errors.As(err, &mistake) || mistake.At < 1 || mistake.At > len(text)+1:
			t.Errorf("%q: %v", text, err)
		}
	})
}
