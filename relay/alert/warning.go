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
	case Gone:
		return fmt.Sprintf("target %s is paused: it answered 410 Gone", n.name())
	case Space:
		return fmt.Sprintf("the spool takes %d %% of its room", n.Percent)
	case Copy:
		return fmt.Sprintf("the copy of the spool on server %s lacks messages",
			oneLine(n.Server, nameRunesMax))
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

func (n *Notice) goneBody() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Target %s answered 410 Gone, and is paused (gone = \"pause\" in its table).\n\n",
		n.name())
	row(&b, "Target", n.name())
	row(&b, "URL", oneLine(n.URL, lineRunesMax))
	row(&b, "Paused", instant(n.At))
	row(&b, "Pending deliveries", fmt.Sprint(n.Pending))
	row(&b, "Oldest pending", n.ago(n.OldestPending))
	b.WriteString(`
Nothing is sent to it, and nothing is lost: events for it are still accepted and
spooled, and what waits spends no attempt. It stays paused until somebody goes on.

What to type:

`)
	command(&b, "sample", n.Target, "send a test and show the answer")
	command(&b, "resume", n.Target, "once it is there again, or has another url")
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

func (n *Notice) copyBody() string {
	var b strings.Builder
	server := oneLine(n.Server, nameRunesMax)
	fmt.Fprintf(&b, "Server %s says that its copy of the spool's stream is current, and it lacks\n"+
		"messages that another server has. A power cut while it caught up may do that.\n\n", server)
	row(&b, "Server", server)
	row(&b, "Missing", fmt.Sprintf("%d messages at least", n.Missing))
	if n.Leads {
		row(&b, "Leads", "yes: the others take what they lack from it")
	}
	if n.Doubtful {
		row(&b, "Doubtful", "yes: it may be the others that keep what was deleted")
	}
	if n.Doubtful {
		b.WriteString(`
It is not clear: a server was away, or copies differ in more than one, or clocks by
more than a minute. Empty nothing. Let all servers run, and see what is said then.
`)
	} else {
		b.WriteString(`
Nothing is lost while another server leads, and relays see to that. If the cluster
has a server without a copy, it takes the place of this one by itself. Otherwise
stop the server, empty its store_dir, start it, and wait until nothing is said of it
any more. Leave the other servers alone until then.
`)
	}
	b.WriteString(`
What to type:

`)
	command(&b, "status", "", "which copies lack messages, and how many")
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
