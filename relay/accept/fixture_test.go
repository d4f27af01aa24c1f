package accept

import (
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fastjson"
	"go.uber.org/goleak"

	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/listener"
	"github.com/hookspool/hookspool/relay/session"
	"github.com/hookspool/hookspool/spool"
)

// testPatience is how long tests wait for what takes milliseconds on a quiet machine: only a failure
// waits that long.
const testPatience = 2 * time.Minute

// TestMain wants a server that has stopped to leave no goroutine behind.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp's cleaner of idle workers sleeps before it looks whether the server has ended.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
	)
}

// memorySpool takes events and keeps them in memory, or refuses them.
type memorySpool struct {
	mu       sync.Mutex // guards below
	admitted int        // bytes
	refuses  error
	kept     []*spool.Draft
}

func (m *memorySpool) Admit(n int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuses == nil {
		m.admitted += n
	}
	return m.refuses
}

func (m *memorySpool) Forgo(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.admitted -= n
}

func (m *memorySpool) Append(drafts ...*spool.Draft) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuses != nil {
		return m.refuses
	}
	for _, d := range drafts {
		m.kept = append(m.kept, d)
		d.Seq = uint64(len(m.kept))
		if !d.Given {
			d.ID = "evt_made"
		}
	}
	return nil
}

func (m *memorySpool) UnspooledID(time.Time) string { return "evt_unspooled" }

func (m *memorySpool) NameOf(spool.LaneID) string { return "" }

func (m *memorySpool) Err() error { return m.refuses }

func (m *memorySpool) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.kept)
}

// judged is a Judge that notes what it was shown, and wants everything. swapped is what an event
// would say if user_events were business_events.
type judged struct {
	talk, swapped session.Talk
	cfg           *config.Config
}

func (j judged) Judge(d *spool.Draft, in Inside) {
	s := j.cfg.Session
	j.talk = session.Read(&s, d.Type, in.Data)
	s.UserEvents, s.BusinessEvents = s.BusinessEvents, s.UserEvents
	j.swapped = session.Read(&s, d.Type, in.Data)
	d.Note = j
}

// indifferent is a Judge that wants nothing.
type indifferent struct{}

func (indifferent) Judge(*spool.Draft, Inside) {}

// counts is a Counter.
type counts struct {
	mu       sync.Mutex // guards below
	refused  map[string]int
	accepted int
}

func (c *counts) Refused(code string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused[code]++
}

func (c *counts) Accepted(drafts []*spool.Draft, _ time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.accepted += len(drafts)
}

// fixture is a server over a spool in memory.
type fixture struct {
	*Server
	rules  *Rules
	spool  *memorySpool
	counts *counts
}

func newFixture(change ...func(*config.Config)) *fixture {
	cfg := config.Default()
	for _, c := range change {
		c(&cfg)
	}
	f := &fixture{spool: &memorySpool{}, counts: &counts{refused: map[string]int{}}}
	f.rules = rulesOf(&cfg)
	f.Server = New(Options{Config: &cfg, Rules: func() *Rules { return f.rules }, Spool: f.spool,
		Counter: f.counts, Waiting: func() Waiting { return Waiting{} }, Log: slog.New(slog.DiscardHandler),
		Now: time.Now})
	return f
}

func rulesOf(cfg *config.Config) *Rules { return &Rules{Config: cfg, Judge: judged{cfg: cfg}} }

// postOf is a request that brings what base says.
func postOf(cfg *config.Config, base arrival) *post {
	return &post{event: base, rules: rulesOf(cfg), parser: new(fastjson.Parser)}
}

// listen serves until the test ends, and returns where.
func (f *fixture) listen(t *testing.T) string {
	t.Helper()
	ln, err := listener.Bind("127.0.0.1:0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- f.Serve(ln) }()
	t.Cleanup(func() {
		if err := f.Shutdown(time.Second); err != nil {
			t.Error(err)
		}
		<-done
	})
	return ln.Address()
}

// dial connects for the length of the test.
func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(testPatience)); err != nil {
		t.Fatal(err)
	}
	return conn
}
