package alert

import (
	"fmt"
	"strings"
)

// headline is a warning in half a sentence.
func (n *Notice) headline() string {
	switch n.Kind {
	case Certificate:
		return fmt.Sprintf("the certificate of target %s expires on %s", n.name(),
			n.Expires.UTC().Format("2006-01-02"))
	case Space:
		return fmt.Sprintf("the spool takes %d %% of its room", n.Percent)
	}
	return fmt.Sprintf("target %s has failed %d of %d jobs", n.name(), n.FailedJobs,
		n.FailedJobsLimit)
}

func (n *Notice) failingBody() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Target %s is close to being Defective: %d retry jobs in a row have failed,\n"+
		"%d %% of the %d that it may.\n\n", n.name(), n.FailedJobs, n.Percent, n.FailedJobsLimit)
	row(&b, "Target", n.name())
	row(&b, "URL", oneLine(n.URL, lineRunesMax))
	row(&b, "Failed jobs", fmt.Sprintf("%d in a row; Defective above %d", n.FailedJobs,
		n.FailedJobsLimit))
	row(&b, "Last status", statusText(n.LastStatus))
	row(&b, "Last error", oneLine(n.LastError, lineRunesMax))
	row(&b, "Pending deliveries", fmt.Sprint(n.Pending))
	row(&b, "Oldest pending", n.ago(n.OldestPending))
	row(&b, "First exhausted", n.ahead(n.FirstExhaustion))
	b.WriteString(`
Nothing is lost, and nothing changes yet: live attempts and retries go on. The first
success ends the run of failed jobs.

What to type:

`)
	command(&b, "sample", n.Target, "send a test and show the answer")
	command(&b, "targets", "", "failed jobs and last error of every target")
	n.writeAdmin(&b)
	return b.String()
}

func (n *Notice) certificateBody() string {
	var b strings.Builder
	fmt.Fprintf(&b, "The TLS certificate that target %s shows expires soon. From then on every\n"+
		"attempt fails, until there is another.\n\n", n.name())
	row(&b, "Target", n.name())
	row(&b, "URL", oneLine(n.URL, lineRunesMax))
	expires := instant(n.Expires)
	if !n.Expires.IsZero() && !n.At.IsZero() {
		expires += fmt.Sprintf(" (in %s)", span(n.Expires.Sub(n.At)))
	}
	row(&b, "Expires", expires)
	b.WriteString(`
Whoever runs the target renews its certificate. Then look at the new one:

`)
	command(&b, "sample", n.Target, "send a test and show the certificate")
	n.writeAdmin(&b)
	return b.String()
}

func (n *Notice) spaceBody() string {
	var b strings.Builder
	fmt.Fprintf(&b, "The spool takes %d %% of its room: of spool.max_size, or of what its disk has\n"+
		"for it beyond spool.min_free_disk. When that is full new events are refused with 507.\n\n",
		n.Percent)
	row(&b, "Spool", bytesText(n.SpoolBytes))
	row(&b, "Room", bytesText(n.RoomBytes))
	row(&b, "Pending deliveries", fmt.Sprint(n.Pending))
	b.WriteString(`
Nothing that was accepted is dropped. Delivered events go first, before their time.
Repair or purge the target that holds the backlog, or give the spool more room.

What to type:

`)
	command(&b, "targets", "", "pending and exhausted deliveries of every target")
	command(&b, "spool stat", "", "what the spool holds")
	n.writeAdmin(&b)
	return b.String()
}

// bytesText writes a size with one digit after the point.
func bytesText(n int64) string {
	const units = "KMGTP"
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/(1<<10), 0
	for value >= 1<<10 && unit < len(units)-1 {
		value /= 1 << 10
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", value, units[unit])
}
