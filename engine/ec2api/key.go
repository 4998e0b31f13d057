package ec2api

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	"plimsoll/engine/awsapi"
)

type createKeyPairInput struct {
	KeyName, KeyType, KeyFormat *string
	TagSpecifications           []tagSpecification `query:"TagSpecification"`
	DryRun                      bool
}

type createKeyPairOutput struct {
	KeyPairId, KeyName, KeyFingerprint, KeyMaterial *string
	Tags                                            []tag `xml:"tagSet"`
}

type keyPairInfo struct {
	KeyPairId, KeyName, KeyFingerprint, KeyType *string
	CreateTime                                  *time.Time
	Tags                                        []tag `xml:"tagSet"`
}

type describeKeyPairsInput struct {
	KeyNames         []string `query:"KeyName"`
	KeyPairIds       []string `query:"KeyPairId"`
	Filters          []filter `query:"Filter"`
	IncludePublicKey bool
	DryRun           bool
}

type describeKeyPairsOutput struct {
	KeyPairs []keyPairInfo `xml:"keySet"`
}

type deleteKeyPairInput struct {
	KeyName, KeyPairId *string
	DryRun             bool
}

func (a *api) createKeyPair(_ context.Context, _ *awsapi.Call, in *createKeyPairInput) (*createKeyPairOutput, error) {
	name := value(in.KeyName)
	if name == "" || len(name) > 255 {
		return nil, awsapi.Refuse("InvalidParameterValue", "A key name has 1 to 255 characters.")
	}
	if format := value(in.KeyFormat); format != "" && format != "pem" {
		return nil, awsapi.Refuse("InvalidParameterValue", "The key format '%s' is not supported by this engine: pem is.", format)
	}
	tags, err := tagsOf(in.TagSpecifications, "key-pair")
	if err != nil {
		return nil, err
	}
	for _, other := range a.ofKind(kindKey) {
		if other.Name == name {
			return nil, awsapi.Refuse("InvalidKeyPair.Duplicate", "The keypair already exists")
		}
	}
	material, fingerprint, kind, err := newKeyPair(value(in.KeyType))
	if err != nil {
		return nil, err
	}
	r, err := a.add(kindKey, resource{Name: name, Fingerprint: fingerprint, Type: kind, Tags: tags})
	if err != nil {
		return nil, err
	}
	return &createKeyPairOutput{KeyPairId: &r.ID, KeyName: &r.Name, KeyFingerprint: &r.Fingerprint, KeyMaterial: &material, Tags: tagList(r.Tags)}, nil
}

// newKeyPair makes a private key, of which nothing is kept but the fingerprint.
func newKeyPair(kind string) (material, fingerprint, made string, err error) {
	var private crypto.PrivateKey
	switch kind {
	case "", "rsa":
		kind = "rsa"
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ed25519":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		err = awsapi.Refuse("InvalidParameterValue", "The key type '%s' is invalid: rsa and ed25519 are allowed.", kind)
	}
	if err != nil {
		return "", "", "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", "", err
	}
	var octets []string
	for _, b := range sha1.Sum(der) { // as EC2 has it
		octets = append(octets, fmt.Sprintf("%02x", b))
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), strings.Join(octets, ":"), kind, nil
}

func (a *api) describeKeyPairs(_ context.Context, _ *awsapi.Call, in *describeKeyPairsInput) (*describeKeyPairsOutput, error) {
	keyFacts := func(r resource) facts {
		return facts{"key-name": {r.Name}, "key-pair-id": {r.ID}, "fingerprint": {r.Fingerprint}}.addTags(r.Tags)
	}
	all := a.ofKind(kindKey)
	ids := in.KeyPairIds
	for _, name := range in.KeyNames {
		id := ""
		for _, r := range all {
			if r.Name == name {
				id = r.ID
			}
		}
		if id == "" {
			return nil, awsapi.Refuse("InvalidKeyPair.NotFound", "The key pair '%s' does not exist", name)
		}
		ids = append(ids, id)
	}
	chosen, _, err := choose(all, resource.id, keyFacts, listing{name: "DescribeKeyPairs", ids: ids, missing: "InvalidKeyPair.NotFound", filters: in.Filters})
	if err != nil {
		return nil, err
	}
	out := &describeKeyPairsOutput{KeyPairs: []keyPairInfo{}}
	for _, r := range chosen {
		out.KeyPairs = append(out.KeyPairs, keyPairInfo{
			KeyPairId: &r.ID, KeyName: &r.Name, KeyFingerprint: &r.Fingerprint, KeyType: &r.Type, CreateTime: &r.Created, Tags: tagList(r.Tags),
		})
	}
	return out, nil
}

// deleteKeyPair succeeds for a key pair that there is not, as EC2's does.
func (a *api) deleteKeyPair(_ context.Context, _ *awsapi.Call, in *deleteKeyPairInput) (*done, error) {
	for _, r := range a.ofKind(kindKey) {
		if r.ID == value(in.KeyPairId) || r.Name == value(in.KeyName) {
			return yes, a.resources.Delete(r.ID)
		}
	}
	return yes, nil
}
