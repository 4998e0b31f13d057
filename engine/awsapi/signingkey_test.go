package awsapi

import (
	"bytes"
	"fmt"
	"testing"
)

func TestASigningKeyIsKnownForItsOwnSecretAndScopeAlone(t *testing.T) {
	var keys signingKeys
	scope1 := scope{accessKeyID: "AKID", day: "20260301", region: "us-east-1", service: "ecs"}
	key, known := keys.of("secret", scope1)
	if known {
		t.Fatal("a key is known before any signature held")
	}
	keys.keep("secret", scope1, key)
	if again, known := keys.of("secret", scope1); !known || !bytes.Equal(again, key) {
		t.Errorf("the key that was kept came back as %x (known: %t), want %x", again, known, key)
	}
	other := []struct {
		secret string
		scope  scope
	}{
		{"another", scope1},
		{"secret", scope{day: "20260302", region: "us-east-1", service: "ecs"}},
		{"secret", scope{day: "20260301", region: "us-east-2", service: "ecs"}},
		{"secret", scope{day: "20260301", region: "us-east-1", service: "sqs"}},
	}
	for _, o := range other {
		if got, known := keys.of(o.secret, o.scope); known || bytes.Equal(got, key) {
			t.Errorf("%q with %+v has the key of another secret or scope", o.secret, o.scope)
		}
	}
}

func TestTheSigningKeysThatAreKeptAreBounded(t *testing.T) {
	var keys signingKeys
	for i := range 3 * mostKeys {
		keys.keep(fmt.Sprint(i), scope{}, nil)
		if len(keys.kept) > mostKeys {
			t.Fatalf("%d keys are kept, at most %d may be", len(keys.kept), mostKeys)
		}
	}
}
