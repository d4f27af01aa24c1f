package testenv

import (
	"flag"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hookspool/hookspool/testenv/effort"
	"github.com/hookspool/hookspool/testenv/nats"
)

var writes = flag.Int("writes", 0, "writes of TestFleetWrites, from the first; 0: a few of them")

// The life of a target that is dead from the start, short enough to be lived again for every write.
const (
	lifeAttempts   = 12 // after the first
	lifeDefectJobs = 3  // one more is a defect
	// lifeTries are made where a machine is so busy that relays are taken for dead that live.
	lifeTries = 5
	// writesAtOnce are tried side by side, each by a life for either side of it.
	writesAtOnce = 2
)

// TestFleetWrites kills the relay that serves a target at every write of the target's life: before
// the cluster has the write, and after it has it but before the relay hears of it. Attempts are
// settled, failed jobs counted and the mail is sent once, whoever goes on: an attempt that was made
// and not settled is made again, a mail that was sent and not noted is sent again with its
// Message-Id, nothing else is. The long run, which is every write until the life is over:
//
//	go test ./testenv -run TestFleetWrites -v -writes 1000 -timeout 1h
func TestFleetWrites(t *testing.T) {
	effort.OnlyLong(t, "a cluster that breaks takes its time")
	t.Parallel()
	cluster := nats.StartInProcess(t, nats.Options{})
	// The live attempt, a job, the one that makes it Defective, the mail, the end; about that.
	numbers := []int{1, 3, 9, 10, 20, 26}
	if *writes > 0 {
		numbers = upTo(*writes)[1:]
	}
	for some := range slices.Chunk(numbers, writesAtOnce) {
		if !liveAtWrites(t, cluster, some) || t.Failed() {
			return
		}
	}
}

// liveAtWrites lives one life for each side of each of the writes; false: all were over before.
func liveAtWrites(t *testing.T, cluster *nats.Cluster, numbers []int) bool {
	var cut atomic.Bool
	t.Run(fmt.Sprint("from ", numbers[0]), func(t *testing.T) {
		for _, n := range numbers {
			for _, side := range []nats.Side{nats.Before, nats.After} {
				t.Run(fmt.Sprint(side, " ", n), func(t *testing.T) {
					t.Parallel()
					if liveAtWrite(t, cluster, nats.Stop{Nth: n, Side: side}) {
						cut.Store(true)
					}
				})
			}
		}
	})
	return cut.Load()
}

// liveAtWrite lives one life; false: it was over before that write.
func liveAtWrite(t *testing.T, cluster *nats.Cluster, stop nats.Stop) bool {
	for range lifeTries {
		l := newLife(t, cluster)
		// At every write the relay comes back of one life, and of the other it does not.
		l.comesBack = (stop.Nth+int(stop.Side))%2 == 0
		moved := l.moves()
		over := l.live(stop)
		if moved = l.moves() - moved; moved > 1 || over && moved > 0 {
			t.Logf("the machine is busy: the target has changed hands %d times", moved)
			continue
		}
		l.check()
		return !over
	}
	t.Fatal("relays that live are taken for dead")
	return false
}

// life is two relays and a target that the first of them serves and that fails always.
type life struct {
	*Fleet
	t    *testing.T
	gate *nats.Gate
	box  *Mailbox
	id   string // the only event's
	// comesBack: the relay that is killed is started again.
	comesBack bool
	// before is the first connection to the receiver after the kill; 0: nobody was killed.
	before int
}

func newLife(t *testing.T, cluster *nats.Cluster) *life {
	l := &life{t: t}
	t.Cleanup(func() { // when the relays have ended
		if l.Fleet == nil {
			return
		}
		name := l.Config.Text("spool.jetstream.name")
		if err := nats.RemoveStream(cluster.URL(), name); err != nil {
			t.Errorf("cannot remove the stream: %v", err)
		}
	})
	l.gate = nats.NewGate(t, cluster.Node(0))
	l.box = NewMailbox(t)
	l.Fleet = NewFleet(t, 2, cluster)
	l.box.Configure(l.Config)
	l.Config.Set("spool.max_size", "64MiB").Set("retry.interval", "50ms").
		Set("retry.max_attempts", lifeAttempts).Set("defect.after_failed_jobs", lifeDefectJobs)
	l.Aim("dead")
	l.RX.Always("dead", Code(500))
	l.Through(0, l.gate.URL())
	l.StartAll()
	if owner := l.OwnerOf("dead"); owner != 0 {
		t.Fatalf("r%d serves the target from the start", owner)
	}
	l.Ledger.relay = l.Relays[1]
	return l
}

// live sends an event by the other relay and kills the one that serves the target at a write. It
// returns when there is nothing left to do; true: there was nothing before that write.
func (l *life) live(stop nats.Stop) (over bool) {
	shut, killed := make(chan struct{}), make(chan struct{})
	defer close(killed)
	stop.Shut = func() {
		close(shut)
		<-killed
	}
	stream := l.Config.Text("spool.jetstream.name") + "."
	stop.Counts = func(subject string) bool { // but for signs of life, which come by the clock
		return strings.HasPrefix(subject, stream) && !strings.HasPrefix(subject, stream+"r.")
	}
	l.gate.Set(stop)
	l.id = l.PostTo(1, Post{Body: []byte(`{"eventType":"message"}`)}).ID
	Until(l.t, Patience, "the write, or the end", func() bool {
		select {
		case <-shut:
			return true
		default:
			over = l.over()
			return over
		}
	})
	if over && !l.gate.Lift() {
		<-shut
		over = false
	}
	if !over {
		l.Relays[0].Kill()
		l.before = l.connection()
		if l.comesBack {
			l.Relays[0].Start()
		}
	}
	Until(l.t, 2*Patience, "the delivery to be exhausted, and a mail", l.over)
	l.AwaitEven()
	// What is owed still is tried at every tick.
	l.Relays[1].AwaitTicks(4)
	return over
}

// moves is how often a relay has got the target.
func (l *life) moves() (n int) {
	for _, r := range l.Relays {
		n += r.LogCount("served by this relay from now on", "dead")
	}
	return n
}

// over reports whether nothing is left to do.
func (l *life) over() bool {
	target := l.Relays[1].Target("dead")
	return target.Exhausted == 1 && target.Pending == 0 && len(l.box.Mails()) > 0
}

// connection makes one to the receiver, after all that were made so far, and returns its number.
func (l *life) connection() int {
	l.t.Helper()
	req, err := http.NewRequest(http.MethodPost, l.RX.URL("nobody"), nil)
	if err != nil {
		l.t.Fatal(err)
	}
	req.Header.Set("webhook-sample", "true")
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		l.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return l.RX.Requests("nobody")[0].Conn
}

// check proves that all of it is counted exactly.
func (l *life) check() {
	l.t.Helper()
	repeated := l.checkRequests()
	mails := l.checkMails()
	for i, r := range l.Relays {
		if !r.Running() {
			continue
		}
		target := r.Target("dead")
		if target.FailedJobs != lifeAttempts || target.Status != "Defective" ||
			target.Exhausted != 1 || target.Pending != 0 || target.Delivered != 0 {
			l.t.Errorf("r%d says %+v; want %d failed jobs, Defective, one exhausted", i, target,
				lifeAttempts)
		}
		exhausted := r.Deliveries("dead", "exhausted")
		if len(exhausted) != 1 || exhausted[0].Attempts != lifeAttempts+1 {
			l.t.Errorf("r%d has exhausted %+v", i, exhausted)
		}
		if got := attemptsKept(r, l.id); got[0] != 0 || got[len(got)-1] != lifeAttempts ||
			len(slices.Compact(slices.Clone(got))) != len(got) {
			l.t.Errorf("r%d has noted attempts %v; want each at most once, the first and the last", i, got)
		}
	}
	l.Ledger.Check()
	l.t.Logf("%d writes, killed: %v, comes back: %v; %d attempts repeated, %d mails", l.gate.Writes(),
		l.before > 0, l.comesBack, repeated, mails)
}

// checkRequests proves that the receiver saw every attempt in order, and none twice but the last
// one of the relay that was killed.
func (l *life) checkRequests() (repeated int) {
	l.t.Helper()
	var dead, others []int
	for _, r := range l.RX.Requests("dead") {
		if l.before == 0 || r.Conn < l.before {
			dead = append(dead, r.Attempt)
		} else {
			others = append(others, r.Attempt)
		}
	}
	all := slices.Concat(dead, others)
	if len(dead) > 0 && len(others) > 0 && dead[len(dead)-1] == others[0] {
		repeated = 1
		all = slices.Concat(dead, others[1:])
	}
	if !slices.Equal(all, upTo(lifeAttempts)) {
		l.t.Errorf("the relay that was killed made attempts %v, and after that came %v; want all up to "+
			"%d in order, and at most the last one of the former twice", dead, others, lifeAttempts)
	}
	return repeated
}

// checkMails proves that there is one mail, of the defect. One that was not noted when its relay was
// killed may come once more, from another one.
func (l *life) checkMails() int {
	l.t.Helper()
	mails, noted := l.box.Mails(), 0
	for _, r := range l.Relays {
		noted += r.LogCount("alert mail sent")
	}
	for _, mail := range mails {
		if mail.ID != mails[0].ID || !strings.HasSuffix(mail.Subject, "target dead is Defective") {
			l.t.Errorf("there is a mail %q with id %s, and one %q with id %s", mails[0].Subject,
				mails[0].ID, mail.Subject, mail.ID)
		}
	}
	if n := len(mails); n > 2 || n > 1 && l.before == 0 || noted > 1 {
		l.t.Errorf("%d mails, of which %d are noted", n, noted)
	}
	return len(mails)
}

// attemptsKept are the attempts of an event that are in its history, in order.
func attemptsKept(r *Relay, id string) (numbers []int) {
	r.t.Helper()
	var history struct {
		Attempts []struct{ Attempt int }
	}
	r.mustGet("/v1/attempts/"+id, &history)
	for _, a := range history.Attempts {
		numbers = append(numbers, a.Attempt)
	}
	slices.Sort(numbers)
	return numbers
}
