package attempt

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// sealer writes the records of a TLS 1.3 server by itself, so that a test says which they are, where
// they are cut and when they are sent. The handshake, and what is read, are crypto/tls's.
type sealer struct {
	t      testing.TB
	log    strings.Builder // of the server's secrets, as crypto/tls writes it
	secret []byte
	number uint64
}

// expand is HKDF-Expand-Label (RFC 8446 §7.1).
func (s *sealer) expand(label string, length int) []byte {
	info := binary.BigEndian.AppendUint16(nil, uint16(length))
	info = append(info, byte(len("tls13 "+label)))
	info = append(append(info, "tls13 "+label...), 0)
	out, err := hkdf.Expand(sha256.New, s.secret, string(info), length)
	if err != nil {
		s.t.Error(err)
	}
	return out
}

// begin takes the secret of what the server sends after the handshake.
func (s *sealer) begin() {
	for line := range strings.Lines(s.log.String()) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "SERVER_TRAFFIC_SECRET_0" {
			s.secret, _ = hex.DecodeString(f[2])
		}
	}
	if s.secret == nil {
		s.t.Error("no secret was logged")
	}
}

// The content types of records.
const (
	typeAlert     = 21
	typeHandshake = 22
	typeData      = 23
)

// seal makes a record (RFC 8446 §5.2).
func (s *sealer) seal(contentType byte, content string) string {
	block, err := aes.NewCipher(s.expand("key", 16))
	if err != nil {
		s.t.Error(err)
		return ""
	}
	aead, _ := cipher.NewGCM(block)
	nonce := s.expand("iv", 12)
	for i, b := range binary.BigEndian.AppendUint64(nil, s.number) {
		nonce[4+i] ^= b
	}
	s.number++
	inner := append([]byte(content), contentType)
	header := binary.BigEndian.AppendUint16([]byte{typeData, 3, 3}, uint16(len(inner)+16))
	return string(aead.Seal(header, nonce, inner, header))
}

func (s *sealer) answer(text string) string { return s.seal(typeData, text) }

// ticket is a NewSessionTicket (RFC 8446 §4.6.1): lifetime, age_add, a nonce, the ticket, no
// extensions.
func (s *sealer) ticket() string {
	return s.seal(typeHandshake, "\x04\x00\x00\x11"+"\x00\x00\x1c\x20"+"\x01\x02\x03\x04"+
		"\x01\x00"+"\x00\x03abc"+"\x00\x00")
}

// newKey is a KeyUpdate (§4.6.3) that asks for one of the client's.
func (s *sealer) newKey() string {
	record := s.seal(typeHandshake, "\x18\x00\x00\x01\x01")
	s.secret, s.number = s.expand("traffic upd", 32), 0
	return record
}

func (s *sealer) alert(level, description byte) string {
	return s.seal(typeAlert, string([]byte{level, description}))
}

// sealed answers requests over TLS by records that say makes: what is sent at once, and what is sent
// when a value comes over idle, after which idle gets it back.
type sealed struct {
	*receiver
	idle  chan struct{}
	ended chan struct{} // closed with the test
	c     *Client
}

func newSealed(t *testing.T, say func(s *sealer, n int) (now, later string)) *sealed {
	t.Helper()
	ca := newAuthority(t)
	cert := ca.issue(time.Now().Add(time.Hour))
	x := &sealed{idle: make(chan struct{}), ended: make(chan struct{})}
	x.receiver = newReceiver(t, func(nc net.Conn) {
		s := &sealer{t: t}
		secure := tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{cert},
			KeyLogWriter: &s.log, SessionTicketsDisabled: true})
		if secure.Handshake() != nil {
			return
		}
		s.begin()
		n := 0
		each(func(net.Conn, *http.Request, []byte) bool {
			n++
			now, later := say(s, n)
			if now != "" {
				nc.Write([]byte(now))
			}
			if later == "" {
				return true
			}
			select {
			case <-x.idle:
				nc.Write([]byte(later))
				x.idle <- struct{}{}
				return true
			case <-x.ended:
				return false
			}
		})(secure)
	})
	t.Cleanup(func() { close(x.ended) })
	o := options(t, x.secureURL())
	o.RootCAs = ca.pool
	x.c = newTestClient(t, o)
	return x
}

// say has the rest sent, and waits until it is here.
func (x *sealed) say(t *testing.T) {
	t.Helper()
	x.idle <- struct{}{}
	<-x.idle
	eventually(t, "what was sent to an idle connection", func() bool { return idleHears(x.c) })
}

const answer500 = "HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"

// What comes over TLS while nothing is asked. What is meant for TLS alone, such as the tickets that
// a TLS 1.3 server sends whenever it likes, leaves the connection as it is. All else ends it, and is
// not the answer to what is asked next.
func TestTLSIdle(t *testing.T) {
	f := func(name string, kept bool, first func(s *sealer) (now, later string)) {
		t.Helper()
		x := newSealed(t, func(s *sealer, n int) (now, later string) {
			if n == 1 {
				return first(s)
			}
			return s.answer(answer500), ""
		})
		// The first answer of every connection is 200, all others are 500.
		do(t, x.c, 1, Success)
		if strings.HasPrefix(name, "later: ") {
			x.say(t)
		}
		want, conns := Status, int64(1)
		if !kept {
			want, conns = Success, 2
		}
		do(t, x.c, 1, want)
		if n := x.conns.Load(); n != conns {
			t.Errorf("%s: %d connections, want %d", name, n, conns)
		}
	}
	cut := func(record string) (string, string) { return record[:len(record)/2], record[len(record)/2:] }

	f("a ticket before the answer", true, func(s *sealer) (string, string) {
		return s.ticket() + s.answer(answer200), ""
	})
	f("tickets after the answer", true, func(s *sealer) (string, string) {
		return s.answer(answer200) + s.ticket() + s.ticket(), ""
	})
	f("later: tickets", true, func(s *sealer) (string, string) {
		return s.answer(answer200), s.ticket() + s.ticket()
	})
	f("later: the rest of a ticket", true, func(s *sealer) (string, string) {
		now := s.answer(answer200)
		begin, end := cut(s.ticket())
		return now + begin, end
	})
	f("later: a new key, a ticket", true, func(s *sealer) (string, string) {
		return s.answer(answer200), s.newKey() + s.ticket()
	})
	f("the beginning of a ticket", false, func(s *sealer) (string, string) {
		now := s.answer(answer200)
		begin, _ := cut(s.ticket())
		return now + begin, ""
	})
	f("a second answer", false, func(s *sealer) (string, string) {
		return s.answer(answer200) + s.answer(answer500), ""
	})
	f("a second answer after a ticket", false, func(s *sealer) (string, string) {
		return s.answer(answer200) + s.ticket() + s.answer(answer500), ""
	})
	f("later: a second answer", false, func(s *sealer) (string, string) {
		return s.answer(answer200), s.answer(answer500)
	})
	f("later: a second answer after a ticket", false, func(s *sealer) (string, string) {
		return s.answer(answer200), s.ticket() + s.answer(answer500)
	})
	f("later: the rest of a second answer", false, func(s *sealer) (string, string) {
		now := s.answer(answer200)
		begin, end := cut(s.answer(answer500))
		return now + begin, end
	})
	f("later: the beginning of a second answer", false, func(s *sealer) (string, string) {
		now := s.answer(answer200)
		begin, _ := cut(s.answer(answer500))
		return now, begin
	})
	f("close_notify", false, func(s *sealer) (string, string) {
		return s.answer(answer200) + s.alert(1, 0), ""
	})
	f("later: close_notify", false, func(s *sealer) (string, string) {
		return s.answer(answer200), s.alert(1, 0)
	})
	f("later: close_notify after a ticket", false, func(s *sealer) (string, string) {
		return s.answer(answer200), s.ticket() + s.alert(1, 0)
	})
	f("later: an alert", false, func(s *sealer) (string, string) {
		return s.answer(answer200), s.alert(2, 40)
	})
	f("later: no record", false, func(s *sealer) (string, string) {
		return s.answer(answer200), answer500
	})
}

// The beginning of a second answer's record comes with the first answer, its rest with the answer to
// the next request, for which it must not be taken.
func TestTLSTornAnswer(t *testing.T) {
	rest := ""
	x := newSealed(t, func(s *sealer, n int) (now, later string) {
		if n > 1 {
			return rest + s.answer(answer500), ""
		}
		now, rest = s.answer(answer500), s.answer(answer200)
		if s.number != 2 {
			t.Error("not the first records")
		}
		now, rest = now+rest[:20], rest[20:]
		return now, ""
	})
	do(t, x.c, 2, Status)
	if n := x.conns.Load(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

// A ticket that comes when a request has just been sent is not its answer.
func TestTLSTicketBesideRequest(t *testing.T) {
	x := newSealed(t, func(s *sealer, n int) (now, later string) {
		return s.ticket(), s.answer(answer200)
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		do(t, x.c, 2, Success)
	}()
	for range 2 {
		x.idle <- struct{}{}
		<-x.idle
	}
	<-done
	if n := x.conns.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// The records of a stream, in pieces of every size.
func TestRecords(t *testing.T) {
	stream := "\x17\x03\x03\x00\x03abc" + "\x16\x03\x03\x00\x00" + "\x17\x03\x03\x01\x02" +
		strings.Repeat("x", 0x102) + "\x15\x03\x03\x00\x01y"
	whole := map[int]bool{0: true, 8: true, 13: true, 13 + 5 + 0x102: true, len(stream): true}
	for size := 1; size <= len(stream); size++ {
		var r records
		for from := 0; from < len(stream); from += size {
			to := min(from+size, len(stream))
			r.pass([]byte(stream[from:to]))
			if r.torn() == whole[to] {
				t.Fatalf("in pieces of %d bytes: torn after %d bytes: %v", size, to, r.torn())
			}
		}
	}
}

// What a request costs on the wire: as few records as hold it, from the first request on, for each is
// a write of its own.
func TestTLSRecordsOfRequest(t *testing.T) {
	ca := newAuthority(t)
	f := func(payload, want int) {
		t.Helper()
		counts := make(chan int, 2)
		r := newReceiver(t, func(nc net.Conn) {
			counted := &counting{Conn: nc}
			secure := tls.Server(counted, &tls.Config{MaxVersion: tls.VersionTLS12,
				Certificates: []tls.Certificate{ca.issue(time.Now().Add(time.Hour))}})
			each(func(net.Conn, *http.Request, []byte) bool {
				counts <- counted.data
				counted.data = 0
				_, err := secure.Write([]byte(answer200))
				return err == nil
			})(secure)
		})
		o := options(t, r.secureURL())
		o.RootCAs = ca.pool
		c := newTestClient(t, o)
		for range 2 {
			req := request()
			req.Payload = make([]byte, payload)
			wantKind(t, checked(t, c.Do(t.Context(), req)), Success, "")
			if got := <-counts; got != want {
				t.Errorf("%d records for %d bytes, want %d", got, payload, want)
			}
		}
	}
	f(1<<10, 1)
	f(15<<10, 1)
	f(256<<10, 17)
}

// counting counts the records with data that are read.
type counting struct {
	net.Conn
	records records
	data    int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	for _, b := range p[:n] {
		if !c.records.torn() && b == typeData {
			c.data++
		}
		c.records.pass([]byte{b})
	}
	return n, err
}
