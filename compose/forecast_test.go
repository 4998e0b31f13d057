package compose_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"plimsoll/compose"
)

// forecasting loads a file with a forecast of these keys.
func forecasting(t *testing.T, keys, triggers string) (*compose.Forecast, error) {
	t.Helper()
	p, err := compose.Load(write(t, `services: {web: {command: [x], x-plimsoll: {max: 5,
  forecast: {`+keys+`}`+triggers+`}}}`), nil)
	if err != nil {
		return nil, err
	}
	return p.Services[0].Scaling.Forecast, nil
}

const queueTrigger = ", triggers: [{type: aws-sqs-queue, queue: a}]"

func TestAForecastIsReadWithItsDefaults(t *testing.T) {
	for keys, want := range map[string]compose.Forecast{
		"": {Lead: 5 * time.Minute, Quantile: 0.9, Seasons: []time.Duration{24 * time.Hour, 168 * time.Hour}},
		"lead: 90s, quantile: 0.5, seasons: [1h, 12h]": {Lead: 90 * time.Second, Quantile: 0.5, Seasons: []time.Duration{time.Hour, 12 * time.Hour}},
	} {
		if got, err := forecasting(t, keys, queueTrigger); err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("{%s} is %+v, error %v; want %+v", keys, got, err, want)
		}
	}
}

func TestAForecastThatCannotBeIsRefused(t *testing.T) {
	for keys, want := range map[string]string{
		"lead: 2h":                      "allowed: a duration with its unit (500ms, 20s, 5m) from 1s to 1h",
		"quantile: 1":                   "allowed: a number from 0.5 to 0.99",
		"seasons: []":                   "the list is empty",
		"seasons: 24h":                  "allowed: a list",
		"seasons: [24]":                 "allowed: a duration",
		"seasons: [61m]":                "a multiple of 5m from 1h to 336h",
		"seasons: [30m]":                "a multiple of 5m from 1h to 336h",
		"seasons: [400h]":               "a multiple of 5m from 1h to 336h",
		"seasons: [24h, 1440m]":         "is there twice",
		"lead: 1h, seasons: [2h]":       "over twice the lead",
		"seasons: [1h, 2h, 3h, 4h, 5h]": "at most 4",
		"season: [24h]":                 `did you mean "seasons"?`,
	} {
		if _, err := forecasting(t, keys, queueTrigger); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("{%s} gives %v, without %q", keys, err, want)
		}
	}
	if _, err := forecasting(t, "", ""); err == nil || !strings.Contains(err.Error(), "a forecast needs triggers") {
		t.Errorf("without triggers: %v", err)
	}
	if _, err := forecasting(t, "", ", triggers: [{type: aws-sqs-queue, queue: a, mode: job}]"); err == nil || !strings.Contains(err.Error(), "none ahead") {
		t.Errorf("with jobs alone: %v", err)
	}
}
