package config

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"time"
)

// Config is one whole, valid configuration. It is read only after Parse returned it, and then safe
// for concurrent use. Printing or marshalling it shows no secret.
type Config struct {
	Path    string // the file it was read from
	Server  Server
	Event   Event
	Spool   Spool
	Retry   Retry
	Defect  Defect
	Session Session
	Alert   Alert
	Log     Log
	Targets []Target // sorted by name; none is legal: every event is unmatched then
	// Sources is what it was made of; nil when it was not loaded from a file.
	Sources *Sources `json:"-"`
}

// Server is [server]: where hookspool listens, and for whom.
type Server struct {
	Listen       []string      // events: "host:port" or "unix:/path"; at least one
	AdminListen  string        // console, admin API, health, metrics: one such address
	EventToken   Secret        // when set, events need it as Authorization: Bearer
	AdminToken   Secret        // when set, admin API and console need it
	MaxBodySize  int64         // bytes of one event; a spool record is below 1 MiB
	ReadTimeout  time.Duration // until a request must have arrived whole
	DrainTimeout time.Duration // bound on leaving after SIGTERM; 0: leave at once
	ReloadCheck  time.Duration // how often the files are compared; 0: only SIGHUP and API
	AdminHosts   []string      // further names that a request to AdminListen may give as its host
}

// Event is [event]: how an event's type is found, and how long its id is remembered.
type Event struct {
	TypeField    string        // dotted path in a JSON body; empty: bodies are not looked into
	DefaultType  string        // the type of an event that names none; may be empty
	DedupeWindow time.Duration // how long an id is remembered; 0: not at all
}

// Spool is [spool]: where events are kept, how many, for how long.
type Spool struct {
	Dir           string        // relative to the working directory, made when missing
	MaxSize       int64         // bytes of Dir, or of the stream; beyond it new events are refused
	MinFreeDisk   int64         // bytes that stay free on the disk of Dir; 0: not looked at
	KeepDelivered time.Duration // 0: gone at the next sweep
	KeepExhausted time.Duration // never 0: somebody must be able to see what was given up
	EncryptionKey Secret        // as written: base64
	Key           SecretBytes   // EncryptionKey decoded: 16, 24 or 32 bytes; nil: no encryption
	Engine        string        // EngineBadger or EngineJetStream
	JetStream     JetStream     // with EngineJetStream only
}

// Shared reports whether the spool is kept by servers that several relays share.
func (s *Spool) Shared() bool { return s.Engine == EngineJetStream }

// Retry is [retry]: the tick, and how often a delivery is tried again.
type Retry struct {
	Interval     time.Duration // the tick
	MaxAttempts  int           // retries after the first send
	StopJobAfter int           // connection failures or timeouts in a row; 0: never
}

// Defect is [defect]: when a target counts as Defective.
type Defect struct {
	AfterFailedJobs int // more than this many failed jobs in a row
}

// Session is [session]: who wrote when in a conversation, and which events tell.
type Session struct {
	Enabled        bool
	Window         time.Duration
	KeyFields      []string // fields of the body that name the conversation, the first one wins
	UserEvents     []Pattern
	BusinessEvents []Pattern
}

// Alert is [alert]: how an operator hears about a defect, and what of before it comes to that.
type Alert struct {
	WarnAt       []int         // percent of Defect.AfterFailedJobs, 1 to 99; empty: no such warning
	TLSExpiry    time.Duration // how long a certificate must be good for; 0: no such warning
	SpoolPercent int           // of the room that the spool has; 0: no such warning
	Email        Email
	Webhook      Webhook
}

// Email is [alert.email].
type Email struct {
	SMTP     string // host:port; empty: no mail
	TLS      string // "starttls", "tls" or "none"
	Username string // empty: no authentication
	Password Secret
	From     string   // an RFC 5322 address
	To       []string // RFC 5322 addresses; at least one when SMTP is set
	// Warnings are mailed, too. Otherwise there is one mail about a defect and one about its end.
	Warnings bool
}

// Webhook is [alert.webhook]: a URL that alerts are posted to. Where it has a key of a target, it
// means what it means there.
type Webhook struct {
	URL            *url.URL // nil: nothing is posted; its path is a secret, see MaskPath
	Timeout        time.Duration
	Secrets        []Secret
	Headers        []Header
	CAFile         string
	AllowAddresses []netip.Prefix
	PEM            PEM `json:"-"` // what CAFile holds
}

// webhookTarget is the name that errors give a Webhook. No target can have it.
const webhookTarget = "alert.webhook"

// Target is the webhook as one: any 2xx acknowledges, because those who take alerts answer 200, 202
// or 204, and one request is on its way at a time.
func (w *Webhook) Target() *Target {
	success := Success{}
	for code := 200; code < 300; code++ {
		success.add(code)
	}
	return &Target{Name: webhookTarget, URL: w.URL, Status: StatusEnabled, Session: "any",
		Success: success, Timeout: w.Timeout, Concurrency: 1, Secrets: w.Secrets,
		Headers: w.Headers, CAFile: w.CAFile, PEM: w.PEM, AllowAddresses: w.AllowAddresses,
		Method: "POST", HTTP: "1.1"}
}

// Log is [log].
type Log struct {
	Level      slog.Level
	Format     string // "text" or "json"
	Deliveries bool   // a line for every attempt
}

// Target is one [target.NAME].
type Target struct {
	Name        string // 1 to 64 of A-Z a-z 0-9 _ -; the identity that the spool hangs on
	URL         *url.URL
	Status      Status
	Events      []Pattern // never empty
	Session     string    // "any", "active" or "inactive"
	Success     Success   // never empty
	Timeout     time.Duration
	Concurrency int
	Secrets     []Secret // whsec_… or whsk_…, prefix included; a delivery is signed with all
	Headers     []Header // sorted by name
	CAFile      string   // PEM; empty: the system's roots
	ClientCert  string   // PEM; set together with ClientKey or not at all
	ClientKey   string   // PEM
	PEM         PEM      `json:"-"` // what these files hold
	// AllowAddresses lifts the address rules for what lies in one of these.
	AllowAddresses []netip.Prefix
	// Where and Transform are programs that jq.Compile takes; empty: all is wanted, and as it came.
	Where, Transform string
	Order            Order
	Rate             Rate
	EarlyRetries     []time.Duration // after a failed live attempt, before the tick
	MaxAttempts      int             // retries after the first send; 0: those of [retry]
	EveryTicks       int             // a job at every so many ticks; 1: at each
	// RetryAfterMax is how long a Retry-After may hold the target; 0: it is ignored.
	RetryAfterMax time.Duration
	// ConnectionMaxAge: a connection that is older is closed after its answer; 0: none is too old.
	ConnectionMaxAge time.Duration
	Expire           time.Duration // what is older is not attempted any more; 0: nothing is
	Gone             string        // what 410 means: "retry" or "pause"
	Method           string        // "POST", "PUT" or "PATCH"
	Batch            Batch
	HTTP             string // "1.1", "2" or, with https, "auto"
	Proxy            Proxy
	OAuth2           OAuth2
}

// Retries is how often a delivery is tried again after the first send.
func (t *Target) Retries(r *Retry) int {
	if t == nil || t.MaxAttempts == 0 {
		return r.MaxAttempts
	}
	return t.MaxAttempts
}

// Between is how long it is from one job to the next.
func (t *Target) Between(r *Retry) time.Duration {
	if t == nil {
		return r.Interval
	}
	return r.Interval * time.Duration(max(t.EveryTicks, 1))
}

// Joins reports whether the target has a job at the tick with this count.
func (t *Target) Joins(beat uint64) bool {
	return t == nil || t.EveryTicks <= 1 || beat%uint64(t.EveryTicks) == 0
}

// PausedBy reports whether an answer with a status that does not acknowledge pauses the target.
func (t *Target) PausedBy(status int) bool {
	return t != nil && t.Gone == "pause" && status == 410
}

// Batch is how many events go to a target in one request. The zero Batch: each goes alone.
type Batch struct {
	MaxEvents int           // 1 to 10,000
	MaxWait   time.Duration // for others, from the first event on
	Format    string        // "cloudevents" or "ndjson"; empty: no batches
}

// PEM is the content of the files with certificates, as it was when it was found to be sound.
type PEM struct {
	CA, Cert []byte      // nil: no such file is named
	Key      SecretBytes // the same
}

// Header is one header that is added to every request to a target.
type Header struct {
	Name  string // a token of RFC 9110, in the spelling of the file
	Value Secret
}

// Default returns every default of the contract, without targets. Each call returns fresh slices.
func Default() Config {
	return Config{
		Server: Server{
			Listen:       []string{"127.0.0.1:8470"},
			AdminListen:  "127.0.0.1:8471",
			MaxBodySize:  512 << 10,
			ReadTimeout:  10 * time.Second,
			DrainTimeout: 25 * time.Second,
			ReloadCheck:  5 * time.Second,
		},
		Event: Event{TypeField: "eventType", DedupeWindow: 24 * time.Hour},
		Spool: Spool{
			Dir:           "./hookspool-data",
			MaxSize:       10 << 30,
			MinFreeDisk:   512 << 20,
			KeepDelivered: 24 * time.Hour,
			KeepExhausted: 168 * time.Hour,
			Engine:        EngineBadger,
			JetStream:     defaultJetStream(),
		},
		Retry:   Retry{Interval: 10 * time.Minute, MaxAttempts: 144, StopJobAfter: 64},
		Defect:  Defect{AfterFailedJobs: 100},
		Session: defaultSession(),
		Alert: Alert{
			WarnAt: []int{90}, TLSExpiry: 14 * 24 * time.Hour, SpoolPercent: 80,
			Email:   Email{TLS: "starttls", From: "hookspool@localhost"},
			Webhook: Webhook{Timeout: 10 * time.Second},
		},
		Log: Log{Level: slog.LevelInfo, Format: "text"},
	}
}

func defaultJetStream() JetStream {
	return JetStream{URLs: []Secret{"nats://127.0.0.1:4222"}, Name: "hookspool",
		Replicas: replicasSafe, CompareEvery: compareDefault}
}

func defaultSession() Session {
	return Session{
		Enabled:   true,
		Window:    24 * time.Hour,
		KeyFields: []string{"conversationId", "bsuid", "waId"},
		UserEvents: []Pattern{
			"message", "message_bsuid", "newContactMessageReceived*", "chatbotTriggered*",
			"contactRequestTyping*", "sentMessageREPLIED*",
		},
		BusinessEvents: []Pattern{"sessionMessageSent*", "templateMessageSent*"},
	}
}

// DefaultTarget returns a target with every default of the contract. URL and Events have none:
// they are nil, and Parse insists on both.
func DefaultTarget(name string) Target {
	return Target{
		Name:        name,
		Status:      StatusEnabled,
		Session:     "any",
		Success:     NewSuccess(200),
		Timeout:     10 * time.Second,
		Concurrency: 32,
		Method:      "POST",
		HTTP:        "1.1",
		EveryTicks:  1,

		RetryAfterMax:    time.Hour,
		ConnectionMaxAge: 5 * time.Minute,
		Gone:             "retry",
	}
}

// Load reads and parses the file at path, with the environment and the files of this process. A
// fault of the file's content is a *Faults, any other error says why the file cannot be read.
func Load(path string) (*Config, error) {
	c, _, err := new(Files).Load(path)
	return c, err
}

// Load is the package's Load. What the files held is returned in any case, and kept in the config.
func (f *Files) Load(path string) (*Config, *Sources, error) {
	sources := newSources(0)
	read := func(path string) ([]byte, error) { return sources.read(f, path) }
	text, err := read(path)
	if err != nil {
		return nil, sources, fmt.Errorf("cannot read config %q: %w", path, withoutPath(err))
	}
	c, err := Parse(path, text, os.LookupEnv, read)
	if err != nil {
		return nil, sources, err
	}
	c.Sources = sources
	return c, sources, nil
}

// withoutPath drops the path that os puts in its errors, as ours name it already.
func withoutPath(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}
