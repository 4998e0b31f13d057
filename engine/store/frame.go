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
// records; an end closes a snapshot and gives the number of its keys.
//
// In a segment a frame is what one sync makes durable, and the next one is
// written after that sync: only the last frame of a log can be torn. Such a
// frame has lost sectors, which are zeros then, or its end. It is filled up so
// that it has no part of a sector that is too short to be seen as lost, at its
// end or at the head of the frame after it.
const (
	segmentMagic  = "plimseg1"
	snapshotMagic = "plimsnp1"
	magicSize     = 8
	headSize      = 12
	maxPayload    = 256 << 20 // of one Append
	mostPayload   = 1 << 30   // of a frame

	kindBatch = 1
	kindEnd   = 2

	opPut    = 1
	opDelete = 2
	opFill   = 3 // of one byte

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
	at := len(buf)
	buf = appendRecords(beginBatch(buf), records)
	sealFrame(buf[at:])
	return buf
}

// beginBatch appends a batch's frame without records and without its head.
func beginBatch(buf []byte) []byte {
	return append(append(buf, make([]byte, headSize)...), kindBatch)
}

func appendRecords(buf []byte, records []Record) []byte {
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
}

// fillBatch fills a batch's frame up that will be written at off.
func fillBatch(frame []byte, off int64) []byte {
	for {
		part := int((off + int64(len(frame))) % sector)
		if part == 0 || part >= zeroRun && sector-part >= zeroRun {
			return frame
		}
		frame = append(frame, opFill)
	}
}

func appendEnd(buf []byte, keys int) []byte {
	at := len(buf)
	buf = append(append(buf, make([]byte, headSize)...), kindEnd)
	buf = binary.AppendUvarint(buf, uint64(keys))
	sealFrame(buf[at:])
	return buf
}

// sealFrame writes the head of a frame.
func sealFrame(frame []byte) {
	head, body := frame[:headSize], frame[headSize:]
	binary.LittleEndian.PutUint32(head, uint32(len(body)))
	binary.LittleEndian.PutUint32(head[4:], crc32.Checksum(body, castagnoli))
	binary.LittleEndian.PutUint32(head[8:], crc32.Checksum(head[:8], castagnoli))
}

// readFrame gives the payload of the frame at off and the offset after it.
// errTorn: the frame has lost its end, or sectors of it (zeros are in their
// place), as a frame has that a crash kept from being written whole. errDamaged:
// the bytes are not those that were written.
func readFrame(data []byte, off int) (payload []byte, next int, err error) {
	rest := data[off:]
	if len(rest) < headSize {
		return nil, 0, errTorn
	}
	head := rest[:headSize]
	if crc32.Checksum(head[:8], castagnoli) != binary.LittleEndian.Uint32(head[8:]) {
		if (allZero(rest) || hasHole(head, rest, off)) && !frameAfter(data, off) {
			return nil, 0, errTorn
		}
		return nil, 0, fmt.Errorf("%w: the checksum of a frame's head does not match", errDamaged)
	}
	size := int(binary.LittleEndian.Uint32(head))
	if size > mostPayload {
		return nil, 0, fmt.Errorf("%w: a frame of %d bytes, at most %d are allowed", errDamaged, size, mostPayload)
	}
	if len(rest) < headSize+size {
		return nil, 0, errTorn
	}
	payload = rest[headSize : headSize+size]
	if crc32.Checksum(payload, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
		if hasHole(payload, rest[headSize:], off+headSize) && !frameAfter(data, off) {
			return nil, 0, errTorn
		}
		return nil, 0, fmt.Errorf("%w: the checksum of a frame of %d bytes does not match", errDamaged, size)
	}
	return payload, off + headSize + size, nil
}

// hasHole tells whether a sector that part has bytes of is nothing but zeros
// where it was to be written: a file system may have grown the file before it
// wrote all of the data. rest begins with part, at off in the file, and goes to
// the file's end.
func hasHole(part, rest []byte, off int) bool {
	for from := 0; from < len(part); {
		n := min(sector-(off+from)%sector, len(rest)-from)
		if n >= zeroRun && allZero(rest[from:from+n]) {
			return true
		}
		from += n
	}
	return false
}

// frameAfter tells whether a whole frame begins after off: then what is at off
// had been synced before that one was written, and is no torn tail.
func frameAfter(data []byte, off int) bool {
	for at := off + 1; at+headSize < len(data); at++ {
		head := data[at : at+headSize]
		if crc32.Checksum(head[:8], castagnoli) != binary.LittleEndian.Uint32(head[8:]) {
			continue
		}
		size := int(binary.LittleEndian.Uint32(head))
		if size == 0 || size > len(data)-at-headSize {
			continue
		}
		if crc32.Checksum(data[at+headSize:at+headSize+size], castagnoli) == binary.LittleEndian.Uint32(head[4:]) {
			return true
		}
	}
	return false
}

// eachRecord calls f for each record of a batch's payload (after its kind).
func eachRecord(payload []byte, f func(key string, value []byte, gone bool)) error {
	for len(payload) > 0 {
		op := payload[0]
		if op == opFill {
			payload = payload[1:]
			continue
		}
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
