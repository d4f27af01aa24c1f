package care

import (
	"bufio"
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// A backup is every record of the spool as one read transaction sees it. Badger has a backup of its
// own, which reads the same way, but its format has neither checksums nor an end: one that was cut
// off between two portions restores without a word, and it would carry an encrypted spool in clear.
//
//	 0  16 bytes  "hookspool backup"
//	16  u8        version of this format
//	17  u8        1: encrypted
//	18  32 bytes  salt
//	50  frames: u32 length of the body and, in its top bit, "this is the last"; the body; then
//	    u32 CRC-32C of number of the frame (u64), length and body; or, encrypted, the body is
//	    sealed with AES-256-GCM: key from HKDF-SHA-256 of the spool's key and the salt, nonce the
//	    frame's number, the length authenticated with it
//
// The first frame is a head: an envelope (see record) with format, spool id, newest event, instant.
// The last one is the number of records. Those between hold records: varint lengths of key and
// value, varint expiry (unix seconds, 0: none), key, value.
const (
	backupMagic     = "hookspool backup"
	backupVersion   = 1
	backupHeadBytes = len(backupMagic) + 2 + 32
	backupSecret    = 1 // flag: encrypted
	frameBytes      = 256 << 10
	// frameBytesMax bounds what a reader believes: a frame holds one record more than frameBytes.
	frameBytesMax = frameBytes + record.BytesMax + 4096
	frameLast     = 1 << 31
)

// BackupInfo describes a backup.
type BackupInfo struct {
	Spool string    `json:"spool"` // the id of the spool it is of
	Head  uint64    `json:"head"`  // its newest event
	At    time.Time `json:"at"`
	// Records it holds, in all.
	Records int64 `json:"records"`
	// Bytes of it.
	Bytes     int64 `json:"bytes"`
	Encrypted bool  `json:"encrypted"`
}

// Backup writes the spool as of one instant while it goes on: everything that was acknowledged
// before the call is in it. The spool's own key encrypts it, if there is one. It holds no lock; the
// engine keeps what it reads until it is done. It ends with an error when ctx does or the spool is
// closed.
func Backup(ctx context.Context, of Source, w io.Writer) (info BackupInfo, err error) {
	_, key := of.Home()
	err = at(ctx, of, func(ctx context.Context, v *Snapshot) error {
		info, err = v.backup(ctx, w, key)
		return err
	})
	return info, err
}

func (v *Snapshot) backup(ctx context.Context, w io.Writer, key []byte) (BackupInfo, error) {
	info := BackupInfo{Spool: fmt.Sprintf("%x", v.format.ID), Head: v.Head, At: time.Now().UTC(),
		Encrypted: len(key) > 0}
	f, err := newFrameWriter(w, key)
	if err != nil {
		return info, err
	}
	head := record.NewEncoder(64)
	head.Uint(v.format.Version)
	head.Bytes(v.format.ID[:])
	head.Uint(v.Head)
	head.Time(info.At)
	f.body = append(f.body, head.Seal()...)
	err = f.flush(false)
	all := v.look.Walk(engine.Walk{})
	defer all.Close()
	for all.Seek(nil); err == nil && all.Valid(); all.Next() {
		v.giveWay()
		if all.Key()[0] == record.PrefixFlush {
			continue
		}
		info.Records++
		err = all.View(func(value []byte) error {
			f.record(all.Key(), value, all.ExpiresAt())
			return nil
		})
		if err == nil && len(f.body) >= frameBytes {
			err = f.flush(false)
		}
		if err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}
	if err == nil {
		err = f.flush(false)
	}
	f.body = binary.AppendUvarint(f.body, uint64(info.Records))
	if err == nil {
		err = f.flush(true)
	}
	info.Bytes = f.written
	if err != nil {
		return info, fmt.Errorf("cannot back up: %w", err)
	}
	return info, nil
}

// frameWriter writes a backup frame by frame.
type frameWriter struct {
	w       io.Writer
	seal    cipher.AEAD // nil: in clear
	body    []byte
	out     []byte
	number  uint64
	written int64
}

func newFrameWriter(w io.Writer, key []byte) (*frameWriter, error) {
	head := make([]byte, backupHeadBytes)
	copy(head, backupMagic)
	head[len(backupMagic)] = backupVersion
	salt := head[len(backupMagic)+2:]
	if _, err := rand.Read(salt); err != nil {
		return nil, fmt.Errorf("cannot make a salt: %w", err)
	}
	f := &frameWriter{w: w}
	if len(key) > 0 {
		head[len(backupMagic)+1] = backupSecret
		var err error
		if f.seal, err = backupCipher(key, salt); err != nil {
			return nil, err
		}
	}
	f.written = int64(len(head))
	if _, err := w.Write(head); err != nil {
		return nil, fmt.Errorf("cannot write the backup: %w", err)
	}
	return f, nil
}

func backupCipher(key, salt []byte) (cipher.AEAD, error) {
	derived, err := hkdf.Key(sha256.New, key, salt, backupMagic, 32)
	if err != nil {
		return nil, fmt.Errorf("cannot derive the backup's key: %w", err)
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, fmt.Errorf("cannot make the backup's cipher: %w", err)
	}
	return cipher.NewGCM(block)
}

func (f *frameWriter) record(key, value []byte, expires uint64) {
	f.body = binary.AppendUvarint(f.body, uint64(len(key)))
	f.body = binary.AppendUvarint(f.body, uint64(len(value)))
	f.body = binary.AppendUvarint(f.body, expires)
	f.body = append(f.body, key...)
	f.body = append(f.body, value...)
}

func (f *frameWriter) flush(last bool) error {
	length := uint32(len(f.body))
	if last {
		length |= frameLast
	}
	f.out = binary.BigEndian.AppendUint32(f.out[:0], length)
	if f.seal != nil {
		f.out = f.seal.Seal(f.out, frameNonce(f.number), f.body, f.out[:4])
	} else {
		f.out = append(f.out, f.body...)
		f.out = binary.BigEndian.AppendUint32(f.out, frameSum(f.number, f.out))
	}
	f.number++
	f.written += int64(len(f.out))
	f.body = f.body[:0]
	_, err := f.w.Write(f.out)
	return err
}

func frameNonce(number uint64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 4, 12), number)
}

// frameSum is over number, length and body, so that a frame out of place does not fit.
func frameSum(number uint64, lengthAndBody []byte) uint32 {
	sum := crc32.Checksum(binary.BigEndian.AppendUint64(nil, number), record.Castagnoli())
	return crc32.Update(sum, record.Castagnoli(), lengthAndBody)
}

// Errors of reading a backup.
var (
	// ErrNoBackup: the file is no backup of a spool.
	ErrNoBackup = errors.New("this is no backup of a spool")
	// ErrBadBackup: the backup was cut off or changed.
	ErrBadBackup = errors.New("the backup is damaged")
)

// frameReader reads a backup frame by frame.
type frameReader struct {
	r      *bufio.Reader
	open   cipher.AEAD
	body   []byte
	number uint64
	read   int64
	last   bool
}

func newFrameReader(r io.Reader, key []byte) (*frameReader, error) {
	f := &frameReader{r: bufio.NewReaderSize(r, 64<<10), read: int64(backupHeadBytes)}
	head := make([]byte, backupHeadBytes)
	if _, err := io.ReadFull(f.r, head); err != nil ||
		!bytes.HasPrefix(head, []byte(backupMagic)) {
		return nil, ErrNoBackup
	}
	if v := head[len(backupMagic)]; v > backupVersion {
		return nil, fmt.Errorf("%w: it has version %d; this hookspool reads %d", record.ErrFormat, v,
			backupVersion)
	}
	if head[len(backupMagic)+1]&backupSecret == 0 {
		return f, nil
	}
	if len(key) == 0 {
		return nil, fmt.Errorf("%w: the backup is encrypted", engine.ErrWrongKey)
	}
	var err error
	f.open, err = backupCipher(key, head[len(backupMagic)+2:])
	return f, err
}

// next reads the next frame into body.
func (f *frameReader) next() error {
	var head [4]byte
	if _, err := io.ReadFull(f.r, head[:]); err != nil {
		return fmt.Errorf("%w: it is cut off after %d bytes", ErrBadBackup, f.read)
	}
	length := binary.BigEndian.Uint32(head[:])
	f.last = length&frameLast != 0
	n := int(length &^ frameLast)
	tag := crc32.Size
	if f.open != nil {
		tag = f.open.Overhead()
	}
	if n > frameBytesMax {
		return fmt.Errorf("%w at byte %d", ErrBadBackup, f.read)
	}
	frame := make([]byte, 4+n+tag)
	copy(frame, head[:])
	if _, err := io.ReadFull(f.r, frame[4:]); err != nil {
		return fmt.Errorf("%w: it is cut off after %d bytes", ErrBadBackup, f.read)
	}
	if f.open != nil {
		body, err := f.open.Open(frame[4:4], frameNonce(f.number), frame[4:], head[:])
		switch {
		case err != nil && f.number == 0:
			return fmt.Errorf("%w (or the backup is damaged)", engine.ErrWrongKey)
		case err != nil:
			return fmt.Errorf("%w at byte %d", ErrBadBackup, f.read)
		}
		f.body = body
	} else {
		f.body = frame[4 : 4+n]
		if frameSum(f.number, frame[:4+n]) != binary.BigEndian.Uint32(frame[4+n:]) {
			return fmt.Errorf("%w at byte %d", ErrBadBackup, f.read)
		}
	}
	f.number++
	f.read += int64(len(frame))
	return nil
}

// readHead reads the first frame.
func (f *frameReader) readHead() (record.Format, BackupInfo, error) {
	var format record.Format
	info := BackupInfo{Encrypted: f.open != nil}
	if err := f.next(); err != nil {
		return format, info, err
	}
	d, err := record.OpenValue(f.body)
	if err != nil {
		return format, info, fmt.Errorf("%w: %w", ErrBadBackup, err)
	}
	format.Version = d.Uint()
	if err := record.CheckVersion(format.Version); err != nil {
		return format, info, err
	}
	copy(format.ID[:], d.Bytes())
	info.Head, info.At = d.Uint(), d.Time().UTC()
	info.Spool = fmt.Sprintf("%x", format.ID)
	return format, info, d.Err
}

// backedUp is one record of a backup.
type backedUp struct {
	key, value []byte
	expiresAt  uint64 // unix seconds; 0: never
}

// records visits the records of the frame in hand.
func (f *frameReader) records(visit func(backedUp) error) error {
	for b := f.body; len(b) > 0; {
		var n [3]uint64
		for i := range n {
			v, size := binary.Uvarint(b)
			if size <= 0 {
				return fmt.Errorf("%w before byte %d", ErrBadBackup, f.read)
			}
			n[i], b = v, b[size:]
		}
		if n[0] == 0 || n[0] > frameBytesMax || n[1] > frameBytesMax || n[0]+n[1] > uint64(len(b)) {
			return fmt.Errorf("%w before byte %d", ErrBadBackup, f.read)
		}
		r := backedUp{key: b[:n[0]:n[0]], value: b[n[0] : n[0]+n[1] : n[0]+n[1]], expiresAt: n[2]}
		if err := visit(r); err != nil {
			return err
		}
		b = b[n[0]+n[1]:]
	}
	return nil
}

// CheckBackup reads a backup to its end without restoring it.
func CheckBackup(r io.Reader, key []byte) (BackupInfo, error) {
	return readBackup(r, key, nil, func(backedUp) error { return nil })
}

// readBackup visits every record. begin, when set, is told of the head before the first one.
func readBackup(r io.Reader, key []byte, begin func(record.Format, BackupInfo) error,
	visit func(backedUp) error) (BackupInfo, error) {
	f, err := newFrameReader(r, key)
	if err != nil {
		return BackupInfo{}, err
	}
	format, info, err := f.readHead()
	if err == nil && begin != nil {
		err = begin(format, info)
	}
	for err == nil {
		if err = f.next(); err != nil || f.last {
			break
		}
		err = f.records(func(b backedUp) error {
			info.Records++
			return visit(b)
		})
	}
	info.Bytes = f.read
	if err != nil {
		return info, err
	}
	if n, size := binary.Uvarint(f.body); size <= 0 || int64(n) != info.Records {
		return info, fmt.Errorf("%w: it has %d records and says %d", ErrBadBackup, info.Records, n)
	}
	if _, err := f.r.ReadByte(); err == nil {
		return info, fmt.Errorf("%w: something follows its end", ErrBadBackup)
	}
	return info, nil
}
