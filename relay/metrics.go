package relay

import (
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"

	"github.com/hookspool/hookspool/relay/accept"
	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/frequency"
	"github.com/hookspool/hookspool/relay/history"
	"github.com/hookspool/hookspool/spool"
)

// metrics are all series of CONTRACT §9. They exist at 0 from the start; what the spool already
// counts is read from it at each scrape, at a cost of O(targets).
type metrics struct {
	registry *prometheus.Registry

	accepted, unmatched, duplicate prometheus.Counter
	acceptedRate                   frequency.Counter
	history                        history.Keeper
	refused                        map[string]prometheus.Counter
	acceptDuration, syncDuration   prometheus.Histogram
	commitEvents                   prometheus.Histogram
	jobDuration                    prometheus.Histogram
	alerts                         map[bool]prometheus.Counter
	reloadAt, reloadOK             prometheus.Gauge

	attempts         *prometheus.CounterVec
	withheld         *prometheus.CounterVec
	attemptDuration  *prometheus.HistogramVec
	deliveryDuration *prometheus.HistogramVec
	jobs             *prometheus.CounterVec
	failedJobs       *prometheus.GaugeVec
	status           *prometheus.GaugeVec
	samples          *prometheus.CounterVec
	tlsExpiry        *prometheus.GaugeVec
	filterErrors     *prometheus.CounterVec

	mu    sync.Mutex // guards lanes
	lanes map[string]*laneMetrics
}

// laneMetrics are one target's series, resolved once.
type laneMetrics struct {
	attempts         [attempt.Transform + 1]prometheus.Counter // of countedKinds
	withheld         prometheus.Counter
	attemptDuration  prometheus.Observer
	deliveryDuration prometheus.Observer
	jobs             map[bool]prometheus.Counter
	jobDuration      prometheus.Observer
	failedJobs       prometheus.Gauge
	status           prometheus.Gauge
	samples          map[string]prometheus.Counter
	tlsExpiry        prometheus.Gauge
	filterErrors     prometheus.Counter
	// shown: the gauges are among the series. They are where this relay serves the target.
	shown bool
}

const prefix = "hookspool_"

func newMetrics(o *Options) *metrics {
	m := &metrics{registry: prometheus.NewRegistry(), lanes: make(map[string]*laneMetrics),
		refused: make(map[string]prometheus.Counter)}
	m.makeGlobal()
	m.makeTargets()
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: prefix + "build_info",
		Help: "Always 1; the labels say what runs."}, []string{"version", "goversion"})
	build.WithLabelValues(o.Version, runtime.Version()).Set(1)
	dropped := prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: prefix + "log_lines_dropped_total",
		Help: "Lines of the log that nobody read in time or that could not be written.",
	}, func() float64 {
		if o.LogDropped == nil {
			return 0
		}
		return float64(o.LogDropped())
	})
	m.registry.MustRegister(build, dropped, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + name, Help: help})
	m.registry.MustRegister(c)
	return c
}

func (m *metrics) gauge(name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: prefix + name, Help: help})
	m.registry.MustRegister(g)
	return g
}

func (m *metrics) histogram(name, help string, buckets []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: prefix + name, Help: help,
		Buckets: buckets})
	m.registry.MustRegister(h)
	return h
}

// Buckets in seconds. A sync takes about a millisecond and a bad disk a second; an attempt up to
// its timeout; a delivery up to the 24 hours of its retries; a job up to an interval and more.
func syncBuckets() []float64 {
	return []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5}
}

func attemptBuckets() []float64 {
	return []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
}

func deliveryBuckets() []float64 {
	return []float64{.002, .005, .01, .05, .1, .5, 1, 10, 60, 600, 3600, 21600, 86400}
}

func jobBuckets() []float64 { return []float64{.01, .1, 1, 10, 60, 300, 600, 1800} }

func commitBuckets() []float64 { return []float64{0, 1, 2, 5, 10, 25, 50, 100, 250, 500, 1000} }

func (m *metrics) makeGlobal() {
	m.accepted = m.counter("events_accepted_total",
		"Events answered 200 for the first time, whether a target wanted them or not.")
	m.unmatched = m.counter("events_unmatched_total", "Accepted events that no target wanted.")
	m.duplicate = m.counter("events_duplicate_total",
		"Events answered 200 although their id and body had been accepted before.")
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: prefix + "events_refused_total",
		Help: "Requests with events that were refused, by the code of the answer."},
		[]string{"reason"})
	m.registry.MustRegister(refused)
	for _, code := range slices.Sorted(maps.Keys(accept.Codes())) {
		m.refused[code] = refused.WithLabelValues(code)
	}
	m.acceptDuration = m.histogram("accept_duration_seconds",
		"Time from a request's arrival until its events are synced to disk.", syncBuckets())
	m.syncDuration = m.histogram("spool_sync_duration_seconds",
		"Time of one group commit, sync included.", syncBuckets())
	m.commitEvents = m.histogram("spool_commit_events", "Events per synced group commit.",
		commitBuckets())
	m.jobDuration = m.histogram("retry_job_duration_seconds", "Duration of retry jobs.",
		jobBuckets())
	alerts := prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + "alerts_total",
		Help: "Alerts that the mail server or the alert webhook took, and failed tries."},
		[]string{"result"})
	m.registry.MustRegister(alerts)
	m.alerts = results(alerts)
	m.reloadAt = m.gauge("config_reload_success_timestamp_seconds",
		"When the running config was loaded.")
	m.reloadOK = m.gauge("config_last_reload_successful",
		"Whether the last attempt to load the config succeeded.")
}

// results resolves the two values of the result label.
func results(v *prometheus.CounterVec) map[bool]prometheus.Counter {
	return map[bool]prometheus.Counter{true: v.WithLabelValues("success"),
		false: v.WithLabelValues("failed")}
}

func (m *metrics) makeTargets() {
	byTarget := []string{"target"}
	byOutcome := []string{"target", "outcome"}
	m.attempts = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: prefix + "attempts_total", Help: "Attempts at targets, by outcome."}, byOutcome)
	m.withheld = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: prefix + "attempts_withheld_total",
		Help: "Attempts not made for want of descriptors, memory or ports, or of what can be sent."},
		byTarget)
	m.attemptDuration = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: prefix + "attempt_duration_seconds", Buckets: attemptBuckets(),
		Help: "Time from the start of an attempt to its outcome."}, byTarget)
	m.deliveryDuration = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: prefix + "delivery_duration_seconds", Buckets: deliveryBuckets(),
		Help: "Time from the acceptance of an event to its successful delivery."}, byTarget)
	m.jobs = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: prefix + "retry_jobs_total",
		Help: "Retry jobs that tried something; failed: none of it succeeded."},
		[]string{"target", "result"})
	m.failedJobs = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: prefix + "target_consecutive_failed_jobs", Help: "Failed jobs in a row."}, byTarget)
	m.status = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: prefix + "target_status",
		Help: "0 Disabled, 1 Enabled, 2 Defective, 3 Paused."}, byTarget)
	m.samples = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: prefix + "samples_total", Help: "Sample callbacks, by outcome."}, byOutcome)
	m.tlsExpiry = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: prefix + "target_tls_expiry_timestamp_seconds",
		Help: "When the target's certificate expires, as last seen; 0: none was seen."}, byTarget)
	m.filterErrors = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: prefix + "filter_errors_total",
		Help: "Events on which the target's where failed; they count as wanted."}, byTarget)
	m.registry.MustRegister(m.attempts, m.withheld, m.attemptDuration, m.deliveryDuration, m.jobs,
		m.failedJobs, m.status, m.samples, m.tlsExpiry, m.filterErrors)
}

// lane resolves one target's series, which makes them exist: what is counted here, and, if the
// target is served by this relay, what it is like.
func (m *metrics) lane(name string, ours bool) *laneMetrics {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.lanes[name]
	if l != nil && l.shown == ours {
		return l
	}
	if l == nil {
		l = m.counters(name)
	}
	gauged := *l
	gauged.shown = ours
	m.gauges(&gauged, name)
	m.lanes[name] = &gauged
	return &gauged
}

// gauges are the series of what a target is like, or gauges that nobody sees.
func (m *metrics) gauges(l *laneMetrics, name string) {
	for gauge, all := range map[*prometheus.Gauge]*prometheus.GaugeVec{&l.failedJobs: m.failedJobs,
		&l.status: m.status, &l.tlsExpiry: m.tlsExpiry} {
		if l.shown {
			*gauge = all.WithLabelValues(name)
		} else {
			all.DeleteLabelValues(name)
			*gauge = prometheus.NewGauge(prometheus.GaugeOpts{})
		}
	}
}

func (m *metrics) counters(name string) *laneMetrics {
	l := &laneMetrics{
		withheld:         m.withheld.WithLabelValues(name),
		attemptDuration:  m.attemptDuration.WithLabelValues(name),
		deliveryDuration: m.deliveryDuration.WithLabelValues(name),
		jobs:             results(m.jobs.MustCurryWith(prometheus.Labels{"target": name})),
		jobDuration:      m.jobDuration,
		filterErrors:     m.filterErrors.WithLabelValues(name),
		samples:          make(map[string]prometheus.Counter),
	}
	for _, kind := range countedKinds() {
		l.attempts[kind] = m.attempts.WithLabelValues(name, kind.String())
		l.samples[kind.String()] = m.samples.WithLabelValues(name, kind.String())
	}
	return l
}

// countedKinds are the outcomes of attempts_total (CONTRACT §9): of requests, and of those that
// were not made for a fault of somebody else than us and the target.
func countedKinds() []attempt.Kind {
	return []attempt.Kind{attempt.Success, attempt.Status, attempt.Timeout, attempt.Connect,
		attempt.DNS, attempt.TLS, attempt.Protocol, attempt.Auth, attempt.Transform}
}

// has reports whether a target has series.
func (m *metrics) has(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lanes[name] != nil
}

// matchSeries gives the lane its series, or takes them from an orphan that owes nothing: a scrape
// is as long as the list of those that there is something to tell of.
func (l *lane) matchSeries() {
	l.r.seriesMu.Lock()
	defer l.r.seriesMu.Unlock()
	if !l.r.shown(l) {
		l.r.metrics.forget(l.name)
		return
	}
	l.series.Store(l.r.metrics.lane(l.name, l.tenure.ours()))
	if seconds := l.expires.Load(); seconds != 0 {
		l.m().tlsExpiry.Set(float64(seconds)) // seen by a sample while it was another relay's
	}
	l.m().status.Set(float64(l.status()))
	l.m().failedJobs.Set(float64(l.failedJobs()))
}

// forget removes the series of a target that is gone and owes nothing.
func (m *metrics) forget(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	gone := prometheus.Labels{"target": name}
	for _, v := range []*prometheus.MetricVec{m.attempts.MetricVec, m.withheld.MetricVec,
		m.attemptDuration.MetricVec,
		m.deliveryDuration.MetricVec, m.jobs.MetricVec, m.failedJobs.MetricVec,
		m.status.MetricVec, m.samples.MetricVec, m.tlsExpiry.MetricVec,
		m.filterErrors.MetricVec} {
		v.DeletePartialMatch(gone)
	}
	delete(m.lanes, name)
}

// Refused is part of accept.Counter.
func (m *metrics) Refused(code string) {
	m.refused[code].Inc()
	m.history.Refused.Add(time.Now(), 1)
}

// Accepted is part of accept.Counter.
func (m *metrics) Accepted(drafts []*spool.Draft, took time.Duration) {
	n, now := uint64(0), time.Now()
	for _, d := range drafts {
		switch {
		case d.Duplicate:
			m.duplicate.Inc()
			continue
		case d.Seq == 0:
			m.unmatched.Inc()
			m.history.Unmatched.Add(now, 1)
		}
		m.accepted.Inc()
		n++
	}
	m.acceptedRate.Add(now, n)
	m.history.Accepted.Add(now, n)
	m.acceptDuration.Observe(took.Seconds())
}

// acceptedCount is events_accepted_total.
func (m *metrics) acceptedCount() uint64 {
	var out dto.Metric
	if err := m.accepted.Write(&out); err != nil {
		panic("BUG: a counter cannot be read: " + err.Error())
	}
	return uint64(out.GetCounter().GetValue())
}

// tlsExpires is target_tls_expiry_timestamp_seconds; nil: no certificate was seen.
func (l *laneMetrics) tlsExpires() *time.Time {
	var out dto.Metric
	if err := l.tlsExpiry.Write(&out); err != nil {
		panic("BUG: a gauge cannot be read: " + err.Error())
	}
	if out.GetGauge().GetValue() == 0 {
		return nil
	}
	at := time.Unix(int64(out.GetGauge().GetValue()), 0).UTC()
	return &at
}

// observe counts one attempt's outcome.
func (l *laneMetrics) observe(out *attempt.Outcome, acceptedAt, now time.Time) {
	l.attempts[out.Kind].Inc()
	l.attemptDuration.Observe(out.Duration.Seconds())
	if out.Kind == attempt.Success {
		l.deliveryDuration.Observe(now.Sub(acceptedAt).Seconds())
	}
}

// collector reads from the spool what the spool counts anyway.
type collector struct {
	r                          *Relay
	pending, exhausted, oldest *prometheus.Desc // and what follows, of each target
	held, expired              *prometheus.Desc
	// own are the relay's, shared those of a relay that shares its spool.
	own, shared []figure
}

// figure is a number that the relay has at any time.
type figure struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	now  func(*Relay) float64
}

func newCollector(r *Relay) *collector {
	byTarget := []string{"target"}
	desc := func(name, help string, labels []string) *prometheus.Desc {
		return prometheus.NewDesc(prefix+name, help, labels, nil)
	}
	of := func(name, help string, now func(*Relay) float64) figure {
		return figure{desc(name, help, nil), prometheus.GaugeValue, now}
	}
	return &collector{
		r: r,
		pending: desc("deliveries_pending",
			"Deliveries that are neither delivered nor exhausted.", byTarget),
		exhausted: desc("deliveries_exhausted", "Exhausted deliveries that are kept.", byTarget),
		oldest: desc("delivery_oldest_pending_timestamp_seconds",
			"When the event of the oldest pending delivery was accepted; 0: none is pending.",
			byTarget),
		expired: desc("deliveries_expired",
			"Deliveries that became too old to be sent, and are kept.", byTarget),
		held: desc("target_held_until_timestamp_seconds",
			"Until when the target asked to be left alone (Retry-After); 0: it does not.", byTarget),
		own: []figure{
			{desc("clock_steps_total", "How often the wall clock was set by more than a minute, forward or "+
				"back.", nil), prometheus.CounterValue,
				func(r *Relay) float64 { return float64(r.spool.Clock().Steps()) }},
			of("spool_size_bytes", "Bytes on disk of the spool's directory.",
				func(r *Relay) float64 { return float64(r.spool.Disk().Bytes) }),
			of("spool_size_limit_bytes", "What events may fill: spool.max_size; of a shared spool at most "+
				"15/16 of it.", func(r *Relay) float64 { return float64(r.spool.Disk().Limit) }),
			of("spool_quarantined_records", "Records that could not be read and are set aside.",
				func(r *Relay) float64 { return float64(r.spool.Quarantined()) }),
			of("memory_limit_bytes", "The memory that the relay may have: that of its container, "+
				"or GOMEMLIMIT; 0: there is no limit.",
				func(r *Relay) float64 { return float64(r.budget.Limit) }),
			of("bodies_limit_bytes", "Bytes of bodies that may be in hand at once.",
				func(r *Relay) float64 { return float64(r.budget.Bodies) }),
			of("ready", "Whether GET /readyz answers 200.",
				func(r *Relay) float64 { return number(len(r.Unready()) == 0) }),
		},
		shared: []figure{
			of("relays", "Relays that share the spool and live, this one among them.",
				func(r *Relay) float64 { return float64(len(r.company.Relays())) }),
			of("lanes_owned", "Targets that this relay serves.", lanesOwned),
			of("relay_leads", "Whether this relay beats the ticks and cares for the spool of all.",
				func(r *Relay) float64 { return number(r.company.Leads()) }),
			of("config_differs", "Whether another relay has had another config for a while.",
				func(r *Relay) float64 { return number(r.company.Differs()) }),
			of("spool_copies_short", "Servers whose copy of the spool's stream lacks messages that "+
				"another one has.", func(r *Relay) float64 { return float64(len(r.company.Copies().Short)) }),
			of("spool_copies_compared_timestamp_seconds", "When the servers' copies were compared last; "+
				"0: they were not.", func(r *Relay) float64 { return unix(r.company.Copies().Compared) }),
		},
	}
}

func lanesOwned(r *Relay) float64 {
	owned := 0
	for _, l := range r.allLanes() {
		if l.tenure.ours() {
			owned++
		}
	}
	return float64(owned)
}

// Describe is part of prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.pending, c.exhausted, c.oldest, c.expired, c.held} {
		ch <- d
	}
	for _, g := range slices.Concat(c.own, c.shared) {
		ch <- g.desc
	}
}

// Collect is part of prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, l := range c.r.shownLanes() {
		if !l.tenure.ours() {
			continue
		}
		counts := l.spool.Counts()
		send(c.pending, float64(counts.Pending), l.name)
		send(c.exhausted, float64(counts.Exhausted), l.name)
		send(c.expired, float64(counts.Expired), l.name)
		oldest := 0.0
		if p, ok := l.spool.OldestPending(); ok {
			oldest = unix(p.At)
		}
		send(c.oldest, oldest, l.name)
		send(c.held, unix(shutUntil(l)), l.name)
	}
	for _, g := range c.own {
		ch <- prometheus.MustNewConstMetric(g.desc, g.kind, g.now(c.r))
	}
	if c.r.company != nil {
		for _, g := range c.shared {
			send(g.desc, g.now(c.r))
		}
	}
}

// unix is an instant in seconds; 0: there is none.
func unix(at time.Time) float64 {
	if at.IsZero() {
		return 0
	}
	return float64(at.UnixMilli()) / 1000
}

func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
