package ecs

import (
	"testing"

	"pgregory.net/rapid"
)

const shipped = "arn:aws:ecs:eu-central-1:123456789012:task/shop/0123456789abcdef0123456789abcdef"

func TestATaskIsReleasedByItselfAlone(t *testing.T) {
	body := `{"release": "` + shipped + `"}`
	if task, err := releasedTask(body, "AROAEXAMPLEID:0123456789abcdef0123456789abcdef"); err != nil || task != shipped {
		t.Errorf("the task's own message gave %q, %v", task, err)
	}
	for sender, body := range map[string]string{
		"AROAEXAMPLEID:ffffffffffffffffffffffffffffffff": body, // another task of the same role
		"AROAEXAMPLEID:i-0123456789":                     body, // the host's role
		"AIDAEXAMPLEUSER":                                body,
		"":                                               body,
		"0123456789abcdef0123456789abcdef":               body, // no session
		"AROA:x":                                         `{"release": "arn:aws:ecs:eu-central-1:1:task/shop/"}`,
		"AROA:shop":                                      `{"release": "arn:aws:ecs:eu-central-1:1:service/shop"}`,
		"AROA:y":                                         `not JSON`,
		"AROA:":                                          `{}`,
	} {
		if task, err := releasedTask(body, sender); err == nil {
			t.Errorf("%s of %q releases %q", body, sender, task)
		}
	}
}

func TestNoOtherMessageReleasesAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body, sender := rapid.String().Draw(t, "body"), rapid.String().Draw(t, "sender")
		if task, err := releasedTask(body, sender); err == nil {
			t.Fatalf("%q of %q releases %q", body, sender, task)
		}
	})
}
