package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// pagesWalkMax bounds the pages of one walk: a million events by the 2,000 of a page are 500.
const pagesWalkMax = 3000

// pages lets -pending events wait for a paused target and times every page of every listing, as
// the console and the verbs ask for them.
func (b *bench) pages(*report) ([]sheet, error) {
	c := usual().pausedTarget()
	c.size = 200
	rx, s, err := b.start(c)
	if err != nil {
		return nil, err
	}
	defer rx.stop()
	defer s.stop()
	began := time.Now()
	if err := fill(s.address, b.o.pending, c.size); err != nil {
		return nil, err
	}
	middle := began.Add(time.Since(began) / 2)
	time.Sleep(pauseLength)
	out := sheet{Title: fmt.Sprintf("listings with %d pending deliveries, in ms", b.o.pending),
		Columns: []string{"listing", "pages", "found", "first", "middle", "last", "p50", "p99",
			"max"}}
	at := func(d time.Duration) string {
		return url.QueryEscape(middle.Add(d).Format(time.RFC3339Nano))
	}
	for _, listing := range []string{
		"/v1/deliveries?limit=1000&target=t0",
		"/v1/deliveries?limit=100&target=t0&since=" + at(0) + "&until=" + at(time.Second/10),
		"/v1/deliveries?limit=1000&target=t0&since=" + at(0),
		"/v1/deliveries?limit=100&target=t0&type=none*",
		"/v1/deliveries?limit=100&target=t0&state=exhausted",
		"/v1/deliveries?limit=100&target=t0&state=delivered",
		"/v1/events?limit=1000",
		"/v1/events?limit=1000&target=t0&state=pending",
		"/v1/events?limit=100&type=none*",
		"/v1/events?limit=100&state=exhausted",
		"/v1/events?limit=100&since=" + at(0) + "&until=" + at(time.Second/10),
		"/v1/events?limit=1000&until=" + at(0),
		"/v1/targets/t0/attempts?limit=100",
		"/v1/status",
		"/v1/targets",
	} {
		progress("%s", listing)
		if err := s.walk(listing, &out); err != nil {
			return nil, err
		}
	}
	return []sheet{out}, nil
}

// walk goes through all pages of a listing.
func (s *server) walk(listing string, out *sheet) error {
	var took []float64
	found := 0
	for after := ""; len(took) < pagesWalkMax; {
		path := listing
		if after != "" {
			path += "&after=" + url.QueryEscape(after)
		}
		began := time.Now()
		n, next, err := s.page(path)
		if err != nil {
			return err
		}
		took = append(took, milliseconds(time.Since(began)))
		found += n
		if after = next; after == "" {
			break
		}
	}
	sorted := slices.Sorted(slices.Values(took))
	path, query, _ := cutQuery(listing)
	out.add(path+" "+query, float64(len(took)), float64(found), took[0], took[len(took)/2],
		took[len(took)-1], sorted[len(sorted)/2], sorted[len(sorted)*99/100], sorted[len(sorted)-1])
	return nil
}

// cutQuery shortens what a table shows of a listing.
func cutQuery(listing string) (path, query string, ok bool) {
	u, err := url.Parse(listing)
	if err != nil {
		return listing, "", false
	}
	q := u.Query()
	for _, bound := range []string{"since", "until"} {
		if q.Has(bound) {
			q.Set(bound, "…")
		}
	}
	query, err = url.QueryUnescape(q.Encode())
	return u.Path, query, err == nil
}

func (s *server) page(path string) (n int, next string, err error) {
	res, err := http.Get("http://" + s.admin + path)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s is answered %d: %s", path, res.StatusCode, text)
	}
	if err != nil {
		return 0, "", err
	}
	var page struct {
		Events, Deliveries, Attempts []json.RawMessage
		Next                         string
	}
	err = json.Unmarshal(text, &page)
	return len(page.Events) + len(page.Deliveries) + len(page.Attempts), page.Next, err
}
