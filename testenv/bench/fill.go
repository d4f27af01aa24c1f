package main

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	fillBatch   = 1000 // events of one NDJSON request
	fillSenders = 2
)

// fill posts n events in batches, which share a sync.
func fill(address string, n, size int) error {
	var sent atomic.Int64
	var senders sync.WaitGroup
	errs := make([]error, fillSenders)
	for i := range fillSenders {
		senders.Go(func() { errs[i] = fillFrom(address, i, &sent, n, size) }) // ends with n
	}
	senders.Wait()
	return errors.Join(errs...)
}

// fillFrom is one connection. A refusal that may pass is asked again.
func fillFrom(address string, number int, sent *atomic.Int64, n, size int) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	rng := rand.New(rand.NewPCG(uint64(number), uint64(time.Now().UnixNano())))
	in := bufio.NewReaderSize(conn, 64<<10)
	line := newBody(rng, size)
	for {
		until := sent.Add(fillBatch)
		batch := min(fillBatch, n-int(until-fillBatch))
		if batch <= 0 {
			return nil
		}
		request := fmt.Appendf(nil, "POST /v1/events HTTP/1.1\r\nHost: relay\r\nContent-Type: "+
			"application/x-ndjson\r\nContent-Length: %d\r\n\r\n", batch*(len(line)+1))
		for range batch {
			vary(rng, line[len(stampPrefix):], time.Now())
			request = append(append(request, line...), '\n')
		}
		for status := 503; status != 200; {
			if _, err := conn.Write(request); err != nil {
				return err
			}
			got, err := readAnswer(in)
			if err != nil {
				return err
			}
			if status = got.status; status != 200 && status != 503 {
				return fmt.Errorf("a batch was answered %d", status)
			}
		}
		progress("filling %d/%d", min(int(until), n), n)
	}
}
