package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"plimsoll"
)

// identity gives ids that are unique for ever: each is a digest of a seed and
// of a counter that only grows. The counter's ceiling is durable and is raised
// by many at a time, so that an id does not cost a record of its own.
type identity struct {
	Seed    string
	Ceiling uint64
	next    uint64
}

const idsAtOnce = 4096

// number gives the next number, from 1 on.
func (m *Machine) number() uint64 {
	m.ids.next++
	if m.ids.next > m.ids.Ceiling {
		m.ids.Ceiling = m.ids.next + idsAtOnce
		m.changed.identity = true
	}
	return m.ids.next
}

// digest gives 32 bytes that depend on the number and on nothing else.
func (m *Machine) digest(n uint64) [sha256.Size]byte {
	var b [64]byte
	buf := append(b[:0], m.ids.Seed...)
	buf = binary.BigEndian.AppendUint64(append(buf, '/'), n)
	return sha256.Sum256(buf)
}

// hexID is an id of 32 hexadecimal characters, as tasks have.
func (m *Machine) hexID(n uint64) string {
	d := m.digest(n)
	return hex.EncodeToString(d[:16])
}

// uuid is an id in the form of a UUID, as containers and service events have.
func (m *Machine) uuid(n uint64) string {
	d := m.digest(n)
	d[6], d[8] = d[6]&0x0f|0x40, d[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", d[0:4], d[4:6], d[6:8], d[8:10], d[10:16])
}

// deploymentID is an id in the form that ECS gives to deployments.
func (m *Machine) deploymentID(n uint64) string {
	d := m.digest(n)
	return fmt.Sprintf("ecs-svc/%019d", binary.BigEndian.Uint64(d[:8])%1e19)
}

// arn is the ARN of a resource of this account: "task", "default/0f1e…".
func (m *Machine) arn(kind, name string) string {
	return "arn:aws:ecs:" + m.cfg.Region + ":" + m.cfg.Account + ":" + kind + "/" + name
}

// named takes a name out of a reference, which is a name or an ARN.
func named(ref string) string {
	if strings.HasPrefix(ref, "arn:") {
		return plimsoll.ARNName(ref)
	}
	return ref
}

// means tells whether a reference can mean the resource with the ARN: by its name,
// or by an ARN of the same region and account. What is of another has the same
// names, and must not be taken for what is here.
func means(ref, arn string) bool {
	return !strings.HasPrefix(ref, "arn:") || owner(ref) == owner(arn)
}

// owner is an ARN up to its account.
func owner(arn string) string {
	at := 0
	for range 5 {
		next := strings.IndexByte(arn[at:], ':')
		if next < 0 {
			return arn
		}
		at += next + 1
	}
	return arn[:at]
}

// clusterOf is the cluster that the ARN of a task, service or instance names;
// empty if it is no such ARN.
func clusterOf(ref string) string {
	if !strings.HasPrefix(ref, "arn:") {
		return ""
	}
	parts := strings.Split(ref, "/")
	if len(parts) < 3 {
		return ""
	}
	return parts[len(parts)-2]
}
