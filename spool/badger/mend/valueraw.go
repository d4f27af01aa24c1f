package mend

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
)

// RawValue is the value in an entry of a value log whose checksum does not fit: the entry's bytes,
// its place, how long its record's key is, the head of the file, and the keys of the spool if that
// is encrypted. false: the entry cannot have such a key.
func RawValue(entry []byte, at int64, key int, head []byte, keys Keys) (value []byte, ok bool) {
	n, headBytes := int64(len(entry)), 0
	keyBytes := uint64(key + timeBytes)
	if e, ok := readHead(entry, FrameBytesMax); ok && e.key == keyBytes && int64(e.size) == n {
		headBytes = e.head
	}
	for length := 1; headBytes == 0 && length <= 4; length++ {
		if meant, ok := fittingHead(keyBytes, 0, length, n); ok {
			headBytes = len(meant)
		}
	}
	if headBytes == 0 || len(head) < LogHeadBytes {
		return nil, false
	}
	body := entry[headBytes : n-4]
	if keys != nil {
		secret := keys[binary.BigEndian.Uint64(head)]
		block, err := aes.NewCipher(secret)
		if err != nil {
			return nil, false
		}
		iv := append(make([]byte, 0, aes.BlockSize), head[8:LogHeadBytes]...)
		iv = binary.BigEndian.AppendUint32(iv, uint32(at))
		cipher.NewCTR(block, iv).XORKeyStream(body, body)
	}
	return body[keyBytes:], true
}
