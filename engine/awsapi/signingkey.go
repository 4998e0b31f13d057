package awsapi

import "sync"

// mostKeys is how many signing keys are kept. A client has one for each service,
// region and day.
const mostKeys = 1024

// signingKeys keeps the keys that secrets and scopes give: four HMACs of the five
// that a signature takes. The zero value is ready.
type signingKeys struct {
	mu   sync.RWMutex
	kept map[keyed][]byte
}

// keyed is what a signing key follows from.
type keyed struct {
	secret, day, region, service string
}

// of gives the key of a secret and a scope, and whether it is one that is kept.
func (k *signingKeys) of(secret string, s scope) (key []byte, known bool) {
	k.mu.RLock()
	key, known = k.kept[keyed{secret, s.day, s.region, s.service}]
	k.mu.RUnlock()
	if known {
		return key, true
	}
	key = mac([]byte("AWS4"+secret), s.day)
	for _, part := range []string{s.region, s.service, "aws4_request"} {
		key = mac(key, part)
	}
	return key, false
}

// keep keeps a key whose signature held: whoever has no secret fills nothing.
func (k *signingKeys) keep(secret string, s scope, key []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.kept == nil || len(k.kept) >= mostKeys {
		k.kept = map[keyed][]byte{}
	}
	k.kept[keyed{secret, s.day, s.region, s.service}] = key
}
