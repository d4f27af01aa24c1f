package relay

import (
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"

	"github.com/hookspool/hookspool/relay/accept"
	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/spool"
)

// metrics are all series of CONTRACT §9. They exist at 0 from the start; what the spool already
// counts is read from it at each scrape, at a cost of O(targets).
type metrics struct {
	registry *prometheus.Registry

	accepted, unmatched, duplicate prometheus.Counter
	acceptedRate                   rate
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

	mu    sync.Mutex // guards lanes
	lanes map[string]*laneMetrics
}

// laneMetrics are one target's series, resolved once.
type laneMetrics struct {
	attempts         [attempt.Aborted]prometheus.Counter
	withheld         prometheus.Counter
	attemptDuration  prometheus.Observer
	deliveryDuration prometheus.Observer
	jobs             map[bool]prometheus.Counter
	jobDuration      prometheus.Observer
	failedJobs       prometheus.Gauge
	status           prometheus.Gauge
	samples          map[string]prometheus.Counter
	tlsExpiry        prometheus.Gauge
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
		Name: prefix + "attempts_total", Help: "Requests made to targets, by outcome."}, byOutcome)
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
	m.registry.MustRegister(m.attempts, m.withheld, m.attemptDuration, m.deliveryDuration, m.jobs,
		m.failedJobs, m.status, m.samples, m.tlsExpiry)
}

// lane resolves one target's series, which makes them exist.
func (m *metrics) lane(name string) *laneMetrics {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l := m.lanes[name]; l != nil {
		return l
	}
	l := &laneMetrics{
		withheld:         m.withheld.WithLabelValues(name),
		attemptDuration:  m.attemptDuration.WithLabelValues(name),
		deliveryDuration: m.deliveryDuration.WithLabelValues(name),
		jobs:             results(m.jobs.MustCurryWith(prometheus.Labels{"target": name})),
		jobDuration:      m.jobDuration,
		failedJobs:       m.failedJobs.WithLabelValues(name),
		status:           m.status.WithLabelValues(name),
		tlsExpiry:        m.tlsExpiry.WithLabelValues(name),
		samples:          make(map[string]prometheus.Counter),
	}
	for kind := attempt.Success; kind < attempt.Aborted; kind++ {
		l.attempts[kind] = m.attempts.WithLabelValues(name, kind.String())
		l.samples[kind.String()] = m.samples.WithLabelValues(name, kind.String())
	}
	m.lanes[name] = l
	return l
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
	l.series.Store(l.r.metrics.lane(l.name))
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
		m.status.MetricVec, m.samples.MetricVec, m.tlsExpiry.MetricVec} {
		v.DeletePartialMatch(gone)
	}
	delete(m.lanes, name)
}

// Refused is part of accept.Counter.
func (m *metrics) Refused(code string) { m.refused[code].Inc() }

// Accepted is part of accept.Counter.
func (m *metrics) Accepted(drafts []*spool.Draft, took time.Duration) {
	n := uint64(0)
	for _, d := range drafts {
		switch {
		case d.Duplicate:
			m.duplicate.Inc()
			continue
		case d.Seq == 0:
			m.unmatched.Inc()
		}
		m.accepted.Inc()
		n++
	}
	m.acceptedRate.add(time.Now(), n)
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
	pending, exhausted, oldest *prometheus.Desc
	size, limit, quarantined   *prometheus.Desc
	memory, bodies, ready      *prometheus.Desc
}

func newCollector(r *Relay) *collector {
	byTarget := []string{"target"}
	desc := func(name, help string, labels []string) *prometheus.Desc {
		return prometheus.NewDesc(prefix+name, help, labels, nil)
	}
	return &collector{
		r: r,
		pending: desc("deliveries_pending",
			"Deliveries that are neither delivered nor exhausted.", byTarget),
		exhausted: desc("deliveries_exhausted", "Exhausted deliveries that are kept.", byTarget),
		oldest: desc("delivery_oldest_pending_timestamp_seconds",
			"When the event of the oldest pending delivery was accepted; 0: none is pending.",
			byTarget),
		size:  desc("spool_size_bytes", "Bytes on disk of the spool's directory.", nil),
		limit: desc("spool_size_limit_bytes", "spool.max_size.", nil),
		quarantined: desc("spool_quarantined_records",
			"Records that could not be read and are set aside.", nil),
		memory: desc("memory_limit_bytes", "The memory that the relay may have: that of its container, "+
			"or GOMEMLIMIT; 0: there is no limit.", nil),
		bodies: desc("bodies_limit_bytes", "Bytes of bodies that may be in hand at once.", nil),
		ready:  desc("ready", "Whether GET /readyz answers 200.", nil),
	}
}

// Describe is part of prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.pending, c.exhausted, c.oldest, c.size, c.limit,
		c.memory, c.bodies, c.quarantined, c.ready} {
		ch <- d
	}
}

// Collect is part of prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, l := range c.r.shownLanes() {
		counts := l.spool.Counts()
		send(c.pending, float64(counts.Pending), l.name)
		send(c.exhausted, float64(counts.Exhausted), l.name)
		oldest := 0.0
		if p, ok := l.spool.OldestPending(); ok {
			oldest = float64(p.At.UnixMilli()) / 1000
		}
		send(c.oldest, oldest, l.name)
	}
	disk := c.r.spool.Disk()
	send(c.size, float64(disk.Bytes))
	send(c.limit, float64(disk.Limit))
	send(c.memory, float64(c.r.budget.Limit))
	send(c.bodies, float64(c.r.budget.Bodies))
	send(c.quarantined, float64(c.r.spool.Quarantined()))
	ready := 0.0
	if len(c.r.Unready()) == 0 {
		ready = 1
	}
	send(c.ready, ready)
}

// rate counts what happened in each of the last seconds, without a lock and at a fixed size: the
// hot path pays one atomic operation. The zero value is ready.
type rate struct {
	// seconds hold a second in the upper half and its count in the lower one.
	seconds [rateSeconds]atomic.Uint64
}

// rateSeconds is above the longest span that is asked for, by the running second and one more.
const rateSeconds = 16

func (r *rate) add(now time.Time, n uint64) {
	second := uint64(now.Unix()) << 32
	slot := &r.seconds[now.Unix()%rateSeconds]
	for {
		old := slot.Load()
		next := second | n
		if old&^0xffffffff == second {
			next = old + n
		}
		if slot.CompareAndSwap(old, next) {
			return
		}
	}
}

// mean is how many there were a second, in the whole seconds of a span and the running one.
func (r *rate) mean(now time.Time, span int) float64 {
	n := uint64(0)
	for i := range r.seconds {
		v := r.seconds[i].Load()
		if ago := now.Unix() - int64(v>>32); ago >= 0 && ago <= int64(span) {
			n += v & 0xffffffff
		}
	}
	return float64(n) / (float64(span) + float64(now.Nanosecond())/1e9)
}
