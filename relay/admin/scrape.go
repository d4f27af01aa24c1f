package admin

import (
	"bytes"
	"errors"
	"net/http"
	"sync"

	"github.com/prometheus/common/expfmt"
)

// scraper collects the metrics, one time after another. Whoever asks while that is under way waits
// with all others for the next time, and is answered with the same bytes: a thousand scrapes at
// once cost little more than two.
type scraper struct {
	// gathering has a token while the metrics are collected; sender and receiver are the same request.
	gathering chan struct{}
	mu        sync.Mutex // guards next
	// next are the scrapes that have not begun yet, by format.
	next map[expfmt.Format]*scrape
}

// scrape is one collection of the metrics, for everybody who asked before it began.
type scrape struct {
	done chan struct{} // closed by the one that asked first, after it has set the others
	body []byte        // never changed
	err  error
}

func newScraper() *scraper {
	return &scraper{gathering: make(chan struct{}, 1), next: map[expfmt.Format]*scrape{}}
}

func (s *Server) metrics(c *call) error {
	c.conn.beginScrape()
	accept := http.Header{"Accept": {c.r.Header.Get("Accept")}}
	format := expfmt.NegotiateAccept(accept, expfmt.DefaultOpenMetricsAcceptedFormats()...)
	body, err := s.scrape(format)
	if err != nil {
		return err
	}
	c.send(http.StatusOK, string(format), body)
	return nil
}

// scrape returns the metrics as of an instant after the call.
func (s *Server) scrape(format expfmt.Format) ([]byte, error) {
	r := s.scraper
	r.mu.Lock()
	mine, others := r.next[format], true
	if mine == nil {
		mine, others = &scrape{done: make(chan struct{}), err: errors.New("it panicked")}, false
		r.next[format] = mine
	}
	r.mu.Unlock()
	if others {
		<-mine.done
		return mine.body, mine.err
	}
	defer close(mine.done)
	r.gathering <- struct{}{}
	defer func() { <-r.gathering }()
	r.mu.Lock()
	delete(r.next, format) // whoever comes from now on shall see what happens from now on
	r.mu.Unlock()
	mine.body, mine.err = s.encode(format)
	return mine.body, mine.err
}

// encode encodes with expfmt directly: promhttp would collect once for each scrape, and answer its
// own errors.
func (s *Server) encode(format expfmt.Format) ([]byte, error) {
	families, err := s.options.Backend.Gather()
	if err != nil {
		return nil, err
	}
	var body bytes.Buffer
	encoder := expfmt.NewEncoder(&body, format)
	for _, family := range families {
		if err := encoder.Encode(family); err != nil {
			return nil, err
		}
	}
	if closer, ok := encoder.(expfmt.Closer); ok {
		if err := closer.Close(); err != nil {
			return nil, err
		}
	}
	return body.Bytes(), nil
}
