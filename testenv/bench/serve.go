package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// serveRole is one of the servers, in a process of its own, on a free port that it prints. A
// receiver that is given a certificate is there over TLS as well, on the port that it prints next,
// and on another one where HTTP/2 may be chosen.
// The spool alone has no port; see serveSpool.
func serveRole(role string, args []string) error {
	if role == spoolRole {
		return serveSpool(args)
	}
	handler, err := handlerOf(role, args)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	addresses := ln.Addr().String()
	if role == "receiver" && len(args) == 1 {
		secure, err := serveSecure(handler, args[0])
		if err != nil {
			return err
		}
		modern, err := serveModern(handler, args[0])
		if err != nil {
			return err
		}
		addresses += " " + secure + " " + modern
	}
	fmt.Println(addresses)
	server := &fasthttp.Server{Handler: handler, NoDefaultServerHeader: true}
	return server.Serve(ln)
}

func handlerOf(role string, args []string) (fasthttp.RequestHandler, error) {
	switch role {
	case bare:
		return func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString(`{"id":"x"}`) }, nil
	case floor:
		if len(args) != 1 {
			return nil, errors.New("the floor needs a file")
		}
		f, err := newFloorFile(args[0])
		if err != nil {
			return nil, err
		}
		return func(ctx *fasthttp.RequestCtx) { f.accept(ctx) }, nil
	case least:
		if len(args) != 2 && len(args) != 3 {
			return nil, errors.New("the least relay needs a file, a target's address and, for TLS, the " +
				"file of its authority")
		}
		f, err := newFloorFile(args[0])
		if err != nil {
			return nil, err
		}
		r, err := newLeastRelay(f, args[1], args[2:])
		if err != nil {
			return nil, err
		}
		return r.handle, nil
	case "receiver":
		return new(receiver).handle, nil
	}
	return nil, fmt.Errorf("there is no role %q", role)
}

// floorFile is the least that durable acceptance needs: one file, appended to by one goroutine,
// which writes what waits, syncs once and answers all. That is the floor any spool stands on.
type floorFile struct {
	file *os.File
	in   chan *floorWrite
	free sync.Pool // of *floorWrite
	// syncs counts them.
	syncs atomic.Uint64
}

type floorWrite struct {
	body []byte
	done chan error
}

func newFloorFile(path string) (*floorFile, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	f := &floorFile{file: file, in: make(chan *floorWrite, 1024)}
	f.free.New = func() any { return &floorWrite{done: make(chan error, 1)} }
	go f.loop() // until close
	return f, nil
}

// close is for after the last append.
func (f *floorFile) close() error {
	close(f.in)
	return f.file.Close()
}

func (f *floorFile) append(body []byte) error {
	w := f.free.Get().(*floorWrite)
	w.body = body
	f.in <- w
	err := <-w.done
	f.free.Put(w)
	return err
}

// accept answers 200 if the body is on disk, and reports it.
func (f *floorFile) accept(ctx *fasthttp.RequestCtx) bool {
	if err := f.append(ctx.Request.Body()); err != nil {
		ctx.Error(err.Error(), fasthttp.StatusInsufficientStorage)
		return false
	}
	ctx.SetBodyString(`{"id":"x"}`)
	return true
}

func (f *floorFile) loop() {
	var group []*floorWrite
	var buffer []byte
	for w := range f.in {
		group, buffer = append(group[:0], w), append(buffer[:0], w.body...)
		for more := true; more && len(buffer) < 4<<20; {
			select {
			case w := <-f.in:
				group, buffer = append(group, w), append(buffer, w.body...)
			default:
				more = false
			}
		}
		_, err := f.file.Write(buffer)
		if err == nil {
			err = syncData(f.file)
		}
		f.syncs.Add(1)
		for _, w := range group {
			w.done <- err
		}
	}
}

// leastRelay is the least that a relay with one target does for each event, the sender's request
// and the target's included. It reads nothing, signs nothing, counts nothing and forgets at once.
type leastRelay struct {
	file   *floorFile
	url    string
	client fasthttp.Client
	bodies chan *[]byte
	free   sync.Pool // of *[]byte
}

// leastWorkers is the concurrency of the target that the relay is given, leastQueue what may wait
// before accepting does.
const (
	leastWorkers = 32
	leastQueue   = 1024
)

func newLeastRelay(file *floorFile, target string, authority []string) (*leastRelay, error) {
	r := &leastRelay{file: file, url: "http://" + target + "/ok",
		bodies: make(chan *[]byte, leastQueue)}
	if len(authority) > 0 {
		config, err := trusting(authority[0])
		if err != nil {
			return nil, err
		}
		r.url, r.client.TLSConfig = "https://"+target+"/ok", config
	}
	r.free.New = func() any { return new([]byte) }
	for range leastWorkers {
		go r.send() // as long as the process
	}
	return r, nil
}

func (r *leastRelay) handle(ctx *fasthttp.RequestCtx) {
	if !r.file.accept(ctx) {
		return
	}
	body := r.free.Get().(*[]byte)
	*body = append((*body)[:0], ctx.Request.Body()...)
	r.bodies <- body
}

func (r *leastRelay) send() {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	req.SetRequestURI(r.url)
	req.Header.SetMethod(fasthttp.MethodPost)
	req.Header.SetContentType("application/json")
	for body := range r.bodies {
		req.SetBodyRaw(*body)
		if err := r.client.Do(req, resp); err != nil || resp.StatusCode() != fasthttp.StatusOK {
			fmt.Fprintln(os.Stderr, "the least relay cannot send:", err, resp.StatusCode())
			os.Exit(1)
		}
		r.free.Put(body)
	}
}

// receiver is every target: the first segment of the path says what it does.
type receiver struct {
	took  histogram // from the instant an event was due to its arrival at a healthy target
	total atomic.Uint64
	turn  atomic.Uint64
}

// received is the answer of GET /stats.
type received struct {
	Count         uint64 // since the last reset
	Total         uint64 // since the start
	P50, P99, P9x time.Duration
}

func (r *receiver) handle(ctx *fasthttp.RequestCtx) {
	switch string(ctx.Path()) {
	case "/hang":
		time.Sleep(time.Hour)
	case "/half":
		if r.turn.Add(1)%2 == 0 {
			ctx.SetStatusCode(fasthttp.StatusServiceUnavailable)
		}
	case "/stats":
		_ = json.NewEncoder(ctx).Encode(received{r.took.Count.Load(), r.total.Load(),
			r.took.quantile(0.5), r.took.quantile(0.99), r.took.quantile(0.999)})
	case "/reset":
		r.took.reset()
	default:
		r.take(ctx.Request.Body())
	}
}

// take notes the events of a request.
func (r *receiver) take(body []byte) {
	for len(body) > 0 && body[0] == '[' {
		at := bytes.Index(body[1:], []byte(stampPrefix))
		if at < 0 {
			return
		}
		body = body[1+at:]
		r.one(body)
		body[0] = '[' // it is this server's own
	}
	r.one(body)
}

func (r *receiver) one(payload []byte) {
	if due, ok := stampOf(payload); ok {
		r.took.add(time.Since(due))
		r.total.Add(1)
	}
}
