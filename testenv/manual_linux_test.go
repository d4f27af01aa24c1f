package testenv

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hookspool/hookspool/testenv/effort"
	"github.com/hookspool/hookspool/testenv/port"
)

// onTerminal runs a verb with its output on a terminal of so many columns, and returns what it shows.
func onTerminal(t *testing.T, columns uint16, env []string, args ...string) string {
	t.Helper()
	bin, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	master, slave := openTerminal(t)
	if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ,
		&unix.Winsize{Row: 24, Col: columns}); err != nil {
		t.Fatal(err)
	}
	if err := master.SetReadDeadline(time.Now().Add(Patience)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, args...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains([]string{"NO_COLOR", "PAGER", "LESS", "TERM"}, name)
	}), append([]string{"TERM=xterm"}, env...)...)
	cmd.Stdout, cmd.Stderr = slave, slave
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	var shown bytes.Buffer
	_, readErr := shown.ReadFrom(master) // ends with EIO once nobody has the other end
	if err := cmd.Wait(); err != nil {
		t.Errorf("%q: %v (%v)\n%s", args, err, readErr, shown.String())
	}
	return strings.ReplaceAll(shown.String(), "\r\n", "\n")
}

// TestManualTerminal asserts that a page is laid out for the terminal that it is shown on, in styles
// unless somebody wants none, and that it goes through the pager of the environment and no other.
func TestManualTerminal(t *testing.T) {
	effort.WithoutRace(t)
	t.Parallel()
	page := onTerminal(t, 60, nil, "help", "--no-pager", "retrying")
	if !strings.HasPrefix(page, "\x1b[1mRetrying\x1b[0m\n\n") {
		t.Errorf("the page has no title in bold:\n%s", page)
	}
	plain := onTerminal(t, 60, []string{"NO_COLOR=1", "PAGER="}, "help", "retrying")
	if strings.Contains(plain, "\x1b") || !strings.HasPrefix(plain, "Retrying\n========\n\n") {
		t.Errorf("without colors the page is\n%s", plain)
	}
	for line := range strings.Lines(plain) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > 60 &&
			!strings.HasPrefix(line, "    ") {
			t.Errorf("a line has %d columns: %q", n, line)
		}
	}
	if strings.Count(onTerminal(t, 120, []string{"NO_COLOR=1", "PAGER=cat"}, "help", "retrying"),
		"\n") >= strings.Count(plain, "\n") {
		t.Error("a wider terminal does not have fewer lines")
	}

	// A pager gets the page as the terminal would.
	paged := onTerminal(t, 60, []string{"NO_COLOR=1", "PAGER=sed s/^/paged:/"}, "help", "retrying")
	if want := "paged:" + strings.ReplaceAll(strings.TrimSuffix(plain, "\n"), "\n", "\npaged:") +
		"\n"; paged != want {
		t.Errorf("the pager shows\n%s\nwant\n%s", paged, want)
	}
	if got := onTerminal(t, 60, []string{"PAGER=cat >/dev/null; echo $LESS"}, "help",
		"retrying"); got != "FRX\n" {
		t.Errorf("LESS is %q for the pager", got)
	}
	if got := onTerminal(t, 60, []string{"LESS=S", "PAGER=cat >/dev/null; echo $LESS"}, "help",
		"retrying"); got != "S\n" {
		t.Errorf("LESS is %q for the pager although it was set", got)
	}
	// One that leaves early has shown enough; one that is missing costs no page.
	onTerminal(t, 60, []string{"PAGER=true"}, "help", "configuration")
	missing := onTerminal(t, 60, []string{"NO_COLOR=1", "PAGER=/nonexistent/pager"}, "help", "retrying")
	if !strings.HasSuffix(missing, plain) {
		t.Errorf("without its pager the page is\n%s", missing)
	}
	if got := CLI(t, []string{"PAGER=echo no"}, "help", "retrying"); got.Code != 0 ||
		!strings.HasPrefix(got.Stdout, "# Retrying\n") {
		t.Errorf("through a pipe it is %d %q", got.Code, got.Stdout)
	}
}

// codeBlock is a fenced block of a document.
type codeBlock struct {
	at       string // file:line
	language string
	info     string // after the language
	lines    []string
}

// manualFiles are the README and the pages of the manual, from the root.
func manualFiles(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob(filepath.Join(mustRoot(t), "cmd/hookspool/manual/*.md"))
	if err != nil || len(pages) < 15 {
		t.Fatalf("there are %d pages: %v", len(pages), err)
	}
	files := []string{"README.md"}
	for _, page := range pages {
		files = append(files, "cmd/hookspool/manual/"+filepath.Base(page))
	}
	return files
}

func codeBlocks(t *testing.T, file string) (blocks []codeBlock) {
	t.Helper()
	var b *codeBlock
	n := 0
	for line := range strings.Lines(readFile(t, filepath.Join(mustRoot(t), file))) {
		line = strings.TrimRight(line, "\n")
		n++
		fence, is := strings.CutPrefix(line, "```")
		switch {
		case is && b == nil:
			language, info, _ := strings.Cut(fence, " ")
			b = &codeBlock{at: fmt.Sprintf("%s:%d", file, n), language: language, info: info}
		case is:
			blocks, b = append(blocks, *b), nil
		case b != nil:
			b.lines = append(b.lines, line)
		}
	}
	return blocks
}

// commands are the lines of a block that a person types. A dialogue (console) has a prompt before
// them, and what is answered beside them.
func (b *codeBlock) commands() (commands []string) {
	more := false
	for _, line := range b.lines {
		typed, prompt := strings.CutPrefix(line, "$ ")
		if b.language == "sh" || prompt || more {
			commands = append(commands, typed)
			more = strings.HasSuffix(line, `\`)
		}
	}
	return commands
}

// TestManualBlocks runs every block of commands of the README and the manual that can be run, as a
// person would who has a relay of two targets: crm is well, erp failed once and is well again. The
// others say why they cannot.
func TestManualBlocks(t *testing.T) {
	effort.WithoutRace(t)
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		SkipLoudly(t, "the commands of the manual are run with curl: %v", err)
	}
	ran := 0
	for _, file := range manualFiles(t) {
		t.Run(file, func(t *testing.T) {
			var room *shellRoom
			for _, b := range codeBlocks(t, file) {
				if !b.runs(t) {
					continue
				}
				ran++
				if strings.Contains(strings.Join(b.lines, "\n"), "go build") {
					firstMinute(t).run(t, &b)
					continue
				}
				if room == nil {
					room = newShellRoom(t)
				}
				room.run(t, &b)
			}
		})
	}
	if ran < 15 {
		t.Errorf("%d blocks were run; this test looks in the wrong place", ran)
	}
}

// runs reports whether a block holds commands that can be run.
func (b *codeBlock) runs(t *testing.T) bool {
	t.Helper()
	reason, cannot := strings.CutPrefix(b.info, "norun: ")
	commands := b.language == "console" || b.language == "sh"
	if b.info != "" && (!commands || !cannot || len(reason) < 10) {
		t.Errorf("%s: %q is no reason why it cannot be run", b.at, b.info)
	}
	return commands && b.info == ""
}

// shellRoom is where blocks of commands are run.
type shellRoom struct {
	dir string
	env []string
	// instead are texts and what stands for them here: addresses, mostly.
	instead *strings.Replacer
}

// newShellRoom has a relay of its own behind its commands.
func newShellRoom(t *testing.T) *shellRoom {
	t.Helper()
	rx := NewReceiver(t)
	// Without a ledger: what the commands send is not known to it.
	j := (&Journey{Relay: NewRelay(t, NewConfig()), RX: rx}).Aim("crm", "erp")
	rx.Always("erp", Code(503))
	j.Start()
	if a := j.Relay.Post(Post{ID: "order-17", Body: []byte(`{"eventType":"message"}`)}); a.Status != 200 {
		t.Fatalf("the event was not accepted: %d %v", a.Status, a.Err)
	}
	j.AwaitFailed("erp", 1)
	j.RX.Always("erp", OK())
	bin, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(bin, filepath.Join(dir, "hookspool")); err != nil {
		t.Fatal(err)
	}
	return &shellRoom{dir: dir, env: []string{"HOOKSPOOL_CONFIG=" + j.ConfigPath(),
		"PATH=" + dir + ":" + os.Getenv("PATH")},
		instead: strings.NewReplacer("http://127.0.0.1:8470", j.EventsURL(), "127.0.0.1:8471",
			j.AdminAddress())}
}

// firstMinute is the room of a newcomer: the repository's example and the binary, and nothing that
// runs. Its ports are of this test, and the relay is waited for as a person would.
func firstMinute(t *testing.T) *shellRoom {
	t.Helper()
	bin, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	var free []string
	for range 3 {
		address, err := port.Free()
		if err != nil {
			t.Fatal(err)
		}
		free = append(free, address)
	}
	dir := t.TempDir()
	addresses := []string{"127.0.0.1:8470", free[0], "127.0.0.1:8471", free[1],
		"127.0.0.1:9000", free[2]}
	example := readFile(t, filepath.Join(mustRoot(t), "config.example.toml"))
	example = strings.NewReplacer(addresses...).Replace(example)
	err = os.WriteFile(filepath.Join(dir, "config.example.toml"), []byte(example), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	const serve = "./hookspool serve --config config.example.toml &"
	return &shellRoom{dir: dir, instead: strings.NewReplacer(append(addresses,
		"go build -o hookspool ./cmd/hookspool", "ln -s "+bin+" hookspool",
		"./hookspool listen &", "./hookspool listen --addr "+free[2]+" &",
		serve, serve+" ./hookspool healthcheck --wait 20s --config config.example.toml")...)}
}

// run runs a block and wants every command to succeed. What it leaves running ends.
func (r *shellRoom) run(t *testing.T, b *codeBlock) {
	t.Helper()
	script := r.instead.Replace(strings.Join(b.commands(), "\n"))
	cmd := exec.Command("sh", "-e", "-c", script)
	cmd.Dir = r.dir
	cmd.Env = append(append(os.Environ(), "NO_COLOR=1"), r.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, err := os.Create(filepath.Join(r.dir, "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out // a file: nothing waits for what goes on in the background
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(Patience, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	err = cmd.Wait()
	late.Stop()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // a receiver and a relay, if it began any
	if err != nil {
		t.Errorf("%s: %v\n%s\nit said\n%s", b.at, err, script, readFile(t, out.Name()))
	}
}
