package queue

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"
)

const macSize = 12

// handle makes the receipt handle of one receipt of a message: the receipt's
// number and the message's id under a code of authentication with the queue's
// key. It tells all that is needed, so nothing is kept for it, and it outlives
// the engine.
func (c *Config) handle(id string, receipt uint64) string {
	plain := append(binary.BigEndian.AppendUint64(nil, receipt), id...)
	return base64.StdEncoding.EncodeToString(append(c.mac(plain), plain...))
}

// readHandle takes a receipt handle apart. One that this queue did not give is
// refused.
func (c *Config) readHandle(handle string) (id string, receipt uint64, err error) {
	raw, problem := base64.StdEncoding.Strict().DecodeString(handle)
	if strings.ContainsAny(handle, "\r\n") || problem != nil || len(raw) < macSize+8 || !hmac.Equal(raw[:macSize], c.mac(raw[macSize:])) {
		return "", 0, refuse("ReceiptHandleIsInvalid", "The input receipt handle %q is not a valid receipt handle "+
			"of the queue %q.", handle, c.Name)
	}
	return string(raw[macSize+8:]), binary.BigEndian.Uint64(raw[macSize:]), nil
}

func (c *Config) mac(plain []byte) []byte {
	m := hmac.New(sha256.New, c.Key)
	m.Write(plain)
	return m.Sum(nil)[:macSize]
}
