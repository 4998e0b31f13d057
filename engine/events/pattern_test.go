package events

import (
	"encoding/json"
	"strings"
	"testing"
)

const stopped = `{"source":"aws.ecs","detail-type":"ECS Task State Change","resources":["arn:1","arn:2"],
	"detail":{"lastStatus":"STOPPED","version":3,"group":"service:Web","stopCode":null,"containers":[{"name":"a","exitCode":0},{"name":"b","exitCode":137}],"empty":[]}}`

func TestAPatternMatchesAsEventBridgeSays(t *testing.T) {
	for pattern, want := range map[string]bool{
		`{"source":["aws.ecs"]}`:           true,
		`{"source":["aws.ec2","aws.ecs"]}`: true,
		`{"source":["aws.ec2"]}`:           false,
		`{"source":["AWS.ecs"]}`:           false,
		`{"source":[{"prefix":"aws."}],"detail":{"lastStatus":["STOPPED"]}}`: true,
		`{"source":["aws.ecs"],"detail":{"lastStatus":["RUNNING"]}}`:         false,
		`{"resources":["arn:2"]}`:                                                 true,
		`{"resources":["arn:3"]}`:                                                 false,
		`{"detail":{"version":[3.0]}}`:                                            true,
		`{"detail":{"version":["3"]}}`:                                            false,
		`{"detail":{"version":[{"numeric":[">",2,"<=",3]}]}}`:                     true,
		`{"detail":{"version":[{"numeric":["=",4]}]}}`:                            false,
		`{"detail":{"lastStatus":[{"numeric":[">",2]}]}}`:                         false,
		`{"detail":{"stopCode":[null]}}`:                                          true,
		`{"detail":{"stopCode":[{"exists":true}]}}`:                               true,
		`{"detail":{"stopCode":[{"exists":false}]}}`:                              false,
		`{"detail":{"none":[{"exists":false}]}}`:                                  true,
		`{"none":{"deeper":[{"exists":false}]}}`:                                  true,
		`{"detail":{"none":[{"exists":true}]}}`:                                   false,
		`{"detail":{"empty":[{"exists":false}]}}`:                                 true,
		`{"detail":{"lastStatus":[{"anything-but":"RUNNING"}]}}`:                  true,
		`{"detail":{"lastStatus":[{"anything-but":["RUNNING","STOPPED"]}]}}`:      false,
		`{"detail":{"none":[{"anything-but":"x"}]}}`:                              false,
		`{"detail":{"group":[{"anything-but":{"prefix":"service:"}}]}}`:           false,
		`{"detail":{"group":[{"suffix":":Web"}]}}`:                                true,
		`{"detail":{"group":[{"equals-ignore-case":"SERVICE:web"}]}}`:             true,
		`{"detail":{"containers":{"exitCode":[137]}}}`:                            true,
		`{"detail":{"containers":{"exitCode":[{"numeric":[">",137]}]}}}`:          false,
		`{"detail":{"lastStatus":["RUNNING",{"prefix":"STOP"}],"version":[3,4]}}`: true,
	} {
		p, err := ParsePattern(pattern)
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
			continue
		}
		var event map[string]any
		d := json.NewDecoder(strings.NewReader(stopped))
		d.UseNumber()
		if err := d.Decode(&event); err != nil {
			t.Fatal(err)
		}
		if got := p.Matches(event); got != want {
			t.Errorf("%s: matches %v, want %v", pattern, got, want)
		}
	}
}

func TestAPatternThatCannotBeJudgedIsRefusedByName(t *testing.T) {
	for pattern, want := range map[string]string{
		``:                                            "it is not JSON",
		`[]`:                                          "it is not an object",
		`{}`:                                          "it is not an object that names a field",
		`{"source":["a"]} x`:                          "it goes on after the JSON object",
		`{"source":"aws.ecs"}`:                        `source: "source" must be an object or an array`,
		`{"source":[]}`:                               "source: the array must have a value",
		`{"detail":{}}`:                               "detail: an object must name a field",
		`{"source":[["a"]]}`:                          "an alternative is a value or a matcher, not an array",
		`{"a":{"b":[{"cidr":"10.0.0.0/8"}]}}`:         `a.b: the match type "cidr" is not supported here`,
		`{"source":[{"wildcard":"a*"}]}`:              `source: the match type "wildcard" is not supported here`,
		`{"$or":[{"source":["a"]}]}`:                  "$or is not supported here",
		`{"a":[{"exists":"yes"}]}`:                    "a: exists must be true or false",
		`{"a":[{"prefix":1}]}`:                        "a: prefix must be a string",
		`{"a":[{"numeric":[">"]}]}`:                   "a: numeric must be an array",
		`{"a":[{"numeric":["!",1]}]}`:                 `a: numeric has "!"`,
		`{"a":[{"numeric":[">","1"]}]}`:               `a: numeric ">" must be followed by a number`,
		`{"a":[{"anything-but":{"cidr":"x"}}]}`:       `a: anything-but with "cidr" is not supported here`,
		`{"a":[{"anything-but":[]}]}`:                 "a: anything-but must name a value",
		`{"a":[{"prefix":"a","suffix":"b"}]}`:         "a: a matcher has one name, got 2",
		`{"a":["` + strings.Repeat("x", 5000) + `"]}`: "it has 5010 characters; 4096 are allowed",
	} {
		if _, err := ParsePattern(pattern); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: got %v, want %s", pattern, err, want)
		}
	}
}

// FuzzPattern: a pattern is refused, or can be matched with any event.
func FuzzPattern(f *testing.F) {
	for _, seed := range []string{
		`{"source":["aws.ecs"]}`, `{"a":{"b":[{"exists":false}]}}`, `{"a":[{"numeric":[">",0,"<=",1e999]}]}`,
		`{"a":[{"anything-but":{"prefix":"x"}}]}`, `{"a":[null,true,1.5,"\ud800"]}`, `{"a":[{"anything-but":[{"prefix":"x"}]}]}`,
	} {
		f.Add(seed, stopped)
	}
	f.Fuzz(func(t *testing.T, pattern, event string) {
		p, err := ParsePattern(pattern)
		var tree map[string]any
		if err != nil || json.Unmarshal([]byte(event), &tree) != nil {
			return
		}
		if first, again := p.Matches(tree), p.Matches(tree); first != again {
			t.Error("matched once and not again")
		}
	})
}
