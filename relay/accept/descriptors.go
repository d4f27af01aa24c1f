package accept

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/config"
)

// Senders, targets, the admin API and the spool's files share the process's limit of open files.
// Senders are the ones that may be sent away, so that the others never meet it: a table that the
// spool's engine cannot open ends the relay.
const (
	// descriptorsApart are for what is there for a moment: the resolver, a reload, a refusal.
	descriptorsApart = 32
	// sendersMin may connect whatever the limit is.
	sendersMin = 8
	// descriptorsLook lies between two looks at how many are open; one costs about 0.3 µs for each.
	descriptorsLook = 500 * time.Millisecond
	// tableBytes is the size of most of the tables of the spool, which stay open.
	tableBytes = 4 << 20
	// adminMin and adminMax bound the connections of the admin listener; between them it may have an
	// eighth of the limit.
	adminMin, adminMax = 32, 512
	// sendersWanted is how many senders a limit should have room for.
	sendersWanted = 1024
)

// descriptors divides the limit of open files.
type descriptors struct {
	limit int64 // 0: not known
	open  func() (int64, error)

	mu   sync.Mutex // guards below
	at   time.Time  // of the last look
	most int64
}

func newDescriptors() *descriptors {
	return &descriptors{limit: openFilesMax(), open: openFiles}
}

// openFilesMax is the limit of this process; 0: not known. Go raises it to the hard limit at its
// start.
func openFilesMax() int64 { return int64(min(attempt.DescriptorsMax(), 1<<40)) }

// openFiles counts what this process has open.
func openFiles() (int64, error) {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		dir, err = os.Open("/dev/fd")
	}
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	return int64(len(names)), err
}

// sendersMost is how many connections senders may have: what the limit leaves beside all that is
// open now, a quarter more of that (a compaction opens new tables before it closes old ones), and
// the connections that targets and the admin listener may want.
func (d *descriptors) sendersMost(now time.Time, senders, targets int64) int64 {
	if d.limit == 0 || d.limit >= 8*connectionsMax {
		return connectionsMax
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Sub(d.at) < descriptorsLook && !d.at.IsZero() {
		return d.most
	}
	d.at = now
	open, err := d.open()
	switch {
	case errors.Is(err, syscall.EMFILE):
		open = d.limit // that is the answer
	case err != nil:
		open = senders // it is not known what else there is
	}
	others := max(open-senders, 0)
	left := d.limit - others - others/4 - min(targets, d.limit/4) - d.adminMost() - descriptorsApart
	d.most = min(max(left, sendersMin), connectionsMax)
	return d.most
}

// adminMost bounds the connections of the admin listener.
func (d *descriptors) adminMost() int64 {
	if d.limit == 0 {
		return adminMax
	}
	return min(max(d.limit/8, adminMin), adminMax)
}

// AdminMost bounds the connections of the admin listener in this process.
func AdminMost() int64 { return newDescriptors().adminMost() }

// connectionsMost bounds the connections of senders now.
func (s *Server) connectionsMost(now time.Time) int64 {
	most := s.descriptors.sendersMost(now, s.connections.Load(), attemptsMost(s.o.Rules().Config))
	if s.o.ConnectionsMost > 0 {
		most = min(most, s.o.ConnectionsMost)
	}
	return most
}

// attemptsMost is how many connections all targets may want.
func attemptsMost(cfg *config.Config) (n int64) {
	for i := range cfg.Targets {
		n += int64(cfg.Targets[i].Concurrency)
	}
	return n
}

// DescriptorWarning says that the limit of open files is low for what a config allows, and how many
// it takes; empty: it is not.
func DescriptorWarning(cfg *config.Config) string {
	return descriptorWarning(cfg, openFilesMax())
}

func descriptorWarning(cfg *config.Config, limit int64) string {
	tables := cfg.Spool.MaxSize / tableBytes * 5 / 4
	need := descriptorsApart + adminMax + sendersWanted + attemptsMost(cfg) + tables
	if limit == 0 || limit >= need {
		return ""
	}
	return fmt.Sprintf("the limit of open files is %d: fewer senders are taken, and a spool near "+
		"spool.max_size cannot be opened; %d are needed (ulimit -n, LimitNOFILE=)", limit, need)
}
