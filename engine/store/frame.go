package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A file begins with a magic of 8 bytes and goes on with frames. A frame is
//
//	length of the payload   4 bytes, little endian
//	CRC32C of the payload   4 bytes
//	CRC32C of these 8 bytes 4 bytes
//	payload
//
// The head has a checksum of its own because a damaged length would look like
// a frame that a crash tore. The payload begins with its kind. A batch holds
// records (what one Append made durable together); an end closes a snapshot
// and gives the number of its keys.
const (
	segmentMagic  = "plimseg1"
	snapshotMagic = "plimsnp1"
	magicSize     = 8
	headSize      = 12
	maxPayload    = 256 << 20

	kindBatch = 1
	kindEnd   = 2

	opPut    = 1
	opDelete = 2

	sector  = 512
	zeroRun = 16 // so many zero bytes are a hole, never a flipped byte
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errTorn    = errors.New("torn")
	errDamaged = errors.New("damaged")
)

func recordSize(key string, value []byte) int64 {
	return int64(len(key)+len(value)) + 2*binary.MaxVarintLen32
}

func payloadSize(records []Record) int64 {
	size := int64(1)
	for _, r := range records {
		size += 1 + recordSize(r.Key, r.Value)
	}
	return size
}

// appendBatch appends the frame of a batch to buf.
func appendBatch(buf []byte, records []Record) []byte {
	return appendFrame(buf, func(buf []byte) []byte {
		buf = append(buf, kindBatch)
		for _, r := range records {
			op := byte(opPut)
			if r.Value == nil {
				op = opDelete
			}
			buf = append(buf, op)
			buf = binary.AppendUvarint(buf, uint64(len(r.Key)))
			buf = append(buf, r.Key...)
			if op == opPut {
				buf = binary.AppendUvarint(buf, uint64(len(r.Value)))
				buf = append(buf, r.Value...)
			}
		}
		return buf
	})
}

func appendEnd(buf []byte, keys int) []byte {
	return appendFrame(buf, func(buf []byte) []byte {
		return binary.AppendUvarint(append(buf, kindEnd), uint64(keys))
	})
}

func appendFrame(buf []byte, payload func([]byte) []byte) []byte {
	at := len(buf)
	buf = append(buf, make([]byte, headSize)...)
	buf = payload(buf)
	head, body := buf[at:at+headSize], buf[at+headSize:]
	binary.LittleEndian.PutUint32(head, uint32(len(body)))
	binary.LittleEndian.PutUint32(head[4:], crc32.Checksum(body, castagnoli))
	binary.LittleEndian.PutUint32(head[8:], crc32.Checksum(head[:8], castagnoli))
	return buf
}

// readFrame gives the payload of the frame at off and the offset after it.
// errTorn: the file ends in a frame whose writing a crash cut short (it stops
// early, or has holes of zeros where sectors were not written). errDamaged:
// the bytes are not those that were written.
func readFrame(data []byte, off int) (payload []byte, next int, err error) {
	rest := data[off:]
	if len(rest) < headSize {
		return nil, 0, errTorn
	}
	head := rest[:headSize]
	if crc32.Checksum(head[:8], castagnoli) != binary.LittleEndian.Uint32(head[8:]) {
		written := len(bytes.TrimRight(rest, "\x00"))
		if written < headSize && len(rest)-written >= zeroRun {
			return nil, 0, errTorn
		}
		return nil, 0, fmt.Errorf("%w: the checksum of a frame's head does not match", errDamaged)
	}
	size := int(binary.LittleEndian.Uint32(head))
	if size > maxPayload {
		return nil, 0, fmt.Errorf("%w: a frame of %d bytes, at most %d are allowed", errDamaged, size, maxPayload)
	}
	if len(rest) < headSize+size {
		return nil, 0, errTorn
	}
	payload = rest[headSize : headSize+size]
	if crc32.Checksum(payload, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
		if len(rest) == headSize+size && hasHole(payload, off+headSize) {
			return nil, 0, errTorn
		}
		return nil, 0, fmt.Errorf("%w: the checksum of a frame of %d bytes does not match", errDamaged, size)
	}
	return payload, off + headSize + size, nil
}

// hasHole tells whether a sector of the frame's payload, which starts at off
// in the file, is nothing but zeros: a file system may have grown the file
// before it wrote all of the data.
func hasHole(payload []byte, off int) bool {
	for len(payload) > 0 {
		n := min(sector-off%sector, len(payload))
		if n >= zeroRun && len(bytes.Trim(payload[:n], "\x00")) == 0 {
			return true
		}
		payload, off = payload[n:], off+n
	}
	return false
}

// eachRecord calls f for each record of a batch's payload (after its kind).
func eachRecord(payload []byte, f func(key string, value []byte, gone bool)) error {
	for len(payload) > 0 {
		op := payload[0]
		key, rest, err := cutBytes(payload[1:])
		if err != nil {
			return err
		}
		payload = rest
		switch op {
		case opDelete:
			f(string(key), nil, true)
		case opPut:
			value, rest, err := cutBytes(payload)
			if err != nil {
				return err
			}
			payload = rest
			f(string(key), bytes.Clone(value), false)
		default:
			return fmt.Errorf("%w: unknown operation %d", errDamaged, op)
		}
	}
	return nil
}

func cutBytes(b []byte) (field, rest []byte, err error) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return nil, nil, fmt.Errorf("%w: a field is longer than its frame", errDamaged)
	}
	return b[n : n+int(size)], b[n+int(size):], nil
}
