package awsapi

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// Credentials finds what is behind an access key. The session token is the one
// that came with the request; it is verified by the caller of Lookup.
type Credentials interface {
	Lookup(accessKeyID, sessionToken string) (Credential, bool)
}

// Credential is what is behind an access key.
type Credential struct {
	Secret string
	// Token is the session token that has to come with the key; empty: none.
	Token string
	// Expires is when the credential ends; zero: never.
	Expires time.Time
	// Account, ARN and UserID are the identity of the caller.
	Account, ARN, UserID string
	// Session is what temporary credentials were issued to (a task's id).
	Session string
}

// Keys are the credentials of one account: its own key pair, and the temporary
// ones that are issued under it. Issued credentials are derived from the secret,
// so that nothing of them is kept, and they outlive the process.
type Keys struct {
	AccessKeyID, Secret string
	Account             string
}

var keyEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// NewKeys makes a key pair for the account, in the form of AWS's.
func NewKeys(random io.Reader, account string) (Keys, error) {
	var raw [40]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return Keys{}, fmt.Errorf("random bytes for a key pair: %w", err)
	}
	return Keys{
		AccessKeyID: "AKIA" + keyEncoding.EncodeToString(raw[:10]),
		Secret:      base64.StdEncoding.EncodeToString(raw[10:]),
		Account:     account,
	}, nil
}

// Lookup finds the account's own key, or one that Issue gave.
func (k Keys) Lookup(accessKeyID, sessionToken string) (Credential, bool) {
	if accessKeyID != "" && accessKeyID == k.AccessKeyID {
		return Credential{
			Secret: k.Secret, Account: k.Account, UserID: k.Account,
			ARN: "arn:aws:iam::" + k.Account + ":root",
		}, true
	}
	payload, mac, ok := strings.Cut(sessionToken, ".")
	if !ok || !hmac.Equal([]byte(mac), []byte(k.derive("token", payload))) {
		return Credential{}, false
	}
	raw, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return Credential{}, false
	}
	var s session
	if err := json.Unmarshal(raw, &s); err != nil {
		return Credential{}, false
	}
	issued := k.issue(s)
	if issued.AccessKeyID != accessKeyID {
		return Credential{}, false
	}
	role := s.Role[strings.LastIndexByte(s.Role, '/')+1:]
	return Credential{
		Secret: issued.SecretAccessKey, Token: issued.Token, Expires: issued.Expires,
		Account: k.Account, Session: s.Name,
		ARN:    "arn:aws:sts::" + k.Account + ":assumed-role/" + role + "/" + s.Name,
		UserID: "AROA" + k.derive("role", s.Role)[:17] + ":" + s.Name,
	}, true
}

// Issued are temporary credentials.
type Issued struct {
	AccessKeyID, SecretAccessKey, Token string
	Expires                             time.Time
	RoleARN                             string
}

// session is what temporary credentials are derived from.
type session struct {
	Name    string `json:"n"`
	Role    string `json:"r"`
	Expires int64  `json:"e"` // seconds since the epoch
}

// Issue gives temporary credentials to the session named (a task's id), in the
// role given, until expires (whole seconds).
func (k Keys) Issue(name, roleARN string, expires time.Time) Issued {
	return k.issue(session{Name: name, Role: roleARN, Expires: expires.Unix()})
}

func (k Keys) issue(s session) Issued {
	raw, err := json.Marshal(s)
	if err != nil {
		panic(err) // two strings and a number always have a JSON form
	}
	payload := base64.RawURLEncoding.EncodeToString(raw)
	return Issued{
		AccessKeyID:     "ASIA" + k.derive("id", payload)[:16],
		SecretAccessKey: k.derive("secret", payload)[:40],
		Token:           payload + "." + k.derive("token", payload),
		Expires:         time.Unix(s.Expires, 0).UTC(),
		RoleARN:         s.Role,
	}
}

func (k Keys) derive(purpose, payload string) string {
	mac := hmac.New(sha256.New, []byte(k.Secret))
	fmt.Fprintf(mac, "plimsoll %s %s", purpose, payload)
	return keyEncoding.EncodeToString(mac.Sum(nil))
}
