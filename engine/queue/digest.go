package queue

import (
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
)

// BodyMD5 is MD5OfMessageBody: clients check it.
func BodyMD5(body string) string {
	sum := md5.Sum([]byte(body))
	return hex.EncodeToString(sum[:])
}

// AttributesMD5 is MD5OfMessageAttributes: for each attribute in the order of
// the names, the length and the bytes of name and type, a byte for the kind of
// value (1 text, 2 binary), its length and bytes. No attributes: empty. The form
// is that of the SQS developer guide, "Calculating the MD5 message digest for
// message attributes".
func AttributesMD5(attributes map[string]Attribute) string {
	if len(attributes) == 0 {
		return ""
	}
	var b []byte
	field := func(s []byte) {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		a := attributes[name]
		field([]byte(name))
		field([]byte(a.DataType))
		if strings.HasPrefix(a.DataType, "Binary") {
			b = append(b, 2)
			field(a.Binary)
		} else {
			b = append(b, 1)
			field([]byte(a.String))
		}
	}
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}
