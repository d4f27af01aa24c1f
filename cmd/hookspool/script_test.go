package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/receiver"
	"github.com/hookspool/hookspool/relay/signature"
	"github.com/hookspool/hookspool/testenv/port"
)

// testPatience is how long tests wait for what takes milliseconds on a quiet machine: only a failure
// waits that long.
const testPatience = 2 * time.Minute

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"hookspool": main})
}

// TestScripts runs testdata/script: every verb as a user types it, as a process of its own.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    cmdExits,
			"expand":   cmdExpand,
			"receiver": cmdReceiver,
			"answerer": cmdAnswerer,
			"freeport": cmdFreePort,
			"dials":    cmdDials,
			"lines":    cmdLines,
			"hanger":   cmdHanger,
			"appears":  cmdAppears,
			// noleftovers wants no hidden file, which is what a file is until it is whole.
			"noleftovers": cmdNoLeftovers,
			"waitfor":     cmdWaitFor,
			"settled":     cmdSettled,
		},
	})
}

// cmdExits runs a program and wants this exit code: exits CODE PROGRAM ARGS…
func cmdExits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// cmdExpand replaces ${NAME} in files: expand FILE…
func cmdExpand(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		path := ts.MkAbs(name)
		text, err := os.ReadFile(path)
		ts.Check(err)
		ts.Check(os.WriteFile(path, []byte(os.Expand(string(text), ts.Getenv)), 0o600))
	}
}

// cmdReceiver starts a receiver and puts its URL into a variable: receiver VARIABLE STATUS [SECRET]
func cmdReceiver(ts *testscript.TestScript, _ bool, args []string) {
	status, err := strconv.Atoi(args[1])
	ts.Check(err)
	options := receiver.Options{Status: status}
	if len(args) > 2 {
		key, err := signature.ParseKey(args[2])
		ts.Check(err)
		options.Keys = []signature.Key{key}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	r := receiver.New(options)
	done := make(chan error)
	go func() { done <- r.Serve(ln) }()
	ts.Defer(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		ts.Check(errors.Join(r.Shutdown(ctx), <-done))
	})
	setURL(ts, args[0], ln)
}

// cmdAnswerer starts a server of fixed answers, one after the other, the last one for ever:
// answerer VARIABLE STATUS BODY [STATUS BODY]…
// A body @FILE is that of a file.
// What it was asked is in the file VARIABLE.log, a line each: METHOD URI.
func cmdAnswerer(ts *testscript.TestScript, _ bool, args []string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	answers := args[1:]
	for i, body := range answers {
		if name, ok := strings.CutPrefix(body, "@"); ok {
			answers[i] = ts.ReadFile(name)
		}
	}
	asked, err := os.Create(ts.MkAbs(args[0] + ".log"))
	ts.Check(err)
	server := &http.Server{ReadHeaderTimeout: time.Minute}
	turn := make(chan []string, 1)
	turn <- answers
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		left := <-turn
		fmt.Fprintln(asked, r.Method, r.URL)
		status, _ := strconv.Atoi(left[0])
		if len(left) > 2 {
			turn <- left[2:]
		} else {
			turn <- left
		}
		kind := "application/json"
		if status != 200 {
			kind = "application/problem+json"
		}
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		fmt.Fprint(w, left[1])
	})
	done := make(chan error)
	go func() { done <- server.Serve(ln) }()
	ts.Defer(func() {
		ts.Check(server.Close())
		<-done
		ts.Check(asked.Close())
	})
	setURL(ts, args[0], ln)
}

// setURL puts a listener's URL into NAME and its address into NAME_ADDR.
func setURL(ts *testscript.TestScript, name string, ln net.Listener) {
	ts.Setenv(name, "http://"+ln.Addr().String())
	ts.Setenv(name+"_ADDR", ln.Addr().String())
}

// cmdFreePort puts an address that nobody listens on into a variable.
func cmdFreePort(ts *testscript.TestScript, _ bool, args []string) {
	address, err := port.Free()
	ts.Check(err)
	ts.Setenv(args[0], address)
}

// cmdDials waits until somebody listens at an address.
func cmdDials(ts *testscript.TestScript, _ bool, args []string) {
	for end := time.Now().Add(testPatience); ; {
		conn, err := net.Dial("tcp", args[0])
		if err == nil {
			ts.Check(conn.Close())
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("nobody listens at %s", args[0])
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// cmdLines writes a file of so many lines of JSON: lines FILE COUNT
func cmdLines(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	var text []byte
	for i := range n {
		text = fmt.Appendf(text, "{\"eventType\":\"message\",\"n\":%d}\n", i)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), text, 0o600))
}

// cmdNoLeftovers looks for hidden files in the working directory.
func cmdNoLeftovers(ts *testscript.TestScript, _ bool, _ []string) {
	left, err := filepath.Glob(ts.MkAbs(".[!.]*"))
	ts.Check(err)
	for _, name := range left {
		if base := filepath.Base(name); base != ".tmp" {
			ts.Fatalf("%s was left", base)
		}
	}
}

// cmdHanger starts a server that begins an answer and never ends it: hanger VARIABLE FILE. The file
// is there once it was asked.
func cmdHanger(ts *testscript.TestScript, _ bool, args []string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	asked := ts.MkAbs(args[1])
	server := &http.Server{ReadHeaderTimeout: time.Minute}
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, `{"id":"a"}`)
		_ = http.NewResponseController(w).Flush()
		_ = os.WriteFile(asked, nil, 0o600)
		<-r.Context().Done()
	})
	done := make(chan error)
	go func() { done <- server.Serve(ln) }()
	ts.Defer(func() {
		ts.Check(server.Close())
		<-done
	})
	setURL(ts, args[0], ln)
}

// cmdAppears waits until a file is there.
func cmdAppears(ts *testscript.TestScript, _ bool, args []string) {
	for end := time.Now().Add(testPatience); ; {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%s does not appear", args[0])
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// cmdWaitFor waits until a file holds a text: waitfor FILE TEXT
func cmdWaitFor(ts *testscript.TestScript, _ bool, args []string) {
	for end := time.Now().Add(testPatience); ; {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && strings.Contains(string(text), args[1]) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%s does not hold %q; it is %q, %v", args[0], args[1], text, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// cmdSettled waits until the state of a delivery, as the relay tells it, holds a text:
// settled ID TARGET TEXT
func cmdSettled(ts *testscript.TestScript, _ bool, args []string) {
	for end := time.Now().Add(testPatience); ; {
		ts.Check(ts.Exec("hookspool", "events", args[0], "--json"))
		var event admin.Event
		ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &event))
		var state []byte
		for i := range event.Deliveries {
			if event.Deliveries[i].Target == args[1] {
				var err error
				state, err = json.Marshal(&event.Deliveries[i])
				ts.Check(err)
			}
		}
		if strings.Contains(string(state), args[2]) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("the delivery is %s", state)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
