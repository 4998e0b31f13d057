package main

import (
	"math/rand/v2"
	"net/http"
	"testing"

	"plimsoll/compose"
	"plimsoll/load"
)

// TestTheComposeFileAsksForWhatTheProgramServes reads the example's own file and
// sends one of each of its requests and messages to the program.
func TestTheComposeFileAsksForWhatTheProgramServes(t *testing.T) {
	project, err := compose.Load("compose.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	paths, messages := 0, 0
	random := rand.New(rand.NewPCG(1, 1))
	for _, s := range project.Services {
		if s.Scaling.Load == nil {
			continue
		}
		expand := func(text string) string {
			template, err := load.ParseTemplate(text)
			if err != nil {
				t.Fatalf("service %s: %v", s.Name, err)
			}
			return template.Expand(1, random)
		}
		for _, path := range s.Scaling.Load.Paths {
			paths++
			if answer, body := fetch(t, expand(path)); answer.StatusCode != http.StatusOK {
				t.Errorf("%s: %d %s", path, answer.StatusCode, body)
			}
		}
		for _, message := range s.Scaling.Load.Messages {
			messages++
			if _, err := parseJob(expand(message)); err != nil {
				t.Error(err)
			}
		}
	}
	if len(project.Services) != 3 || paths == 0 || messages == 0 {
		t.Errorf("%d services, %d paths, %d messages", len(project.Services), paths, messages)
	}
}
