package testenv

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Post is one request to the events listener.
type Post struct {
	Method      string // POST if empty
	Path        string // /v1/events if empty
	ContentType string // application/json if empty, none if "-"
	ID          string // webhook-id
	Type        string // webhook-event-type
	Header      map[string]string
	Body        []byte
}

// Accepted is one event of an answer.
type Accepted struct {
	ID        string   `json:"id"`
	Duplicate bool     `json:"duplicate"`
	Targets   []string `json:"targets"`
}

// Problem is a refusal, RFC 9457.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Lines  []int  `json:"lines"`
}

// Answer is what came back. Err is set when nothing did, and then nothing is known.
type Answer struct {
	Err    error
	Status int
	Header http.Header
	Body   []byte
	Accepted
	Events  []Accepted // of a batch
	Problem Problem
}

// Post sends one request and reads the answer.
func (r *Relay) Post(p Post) Answer { return r.client.post(r.EventsURL(), p) }

func (c *Client) post(url string, p Post) Answer {
	req, err := p.request(url)
	if err != nil {
		return Answer{Err: err}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return Answer{Err: err}
	}
	return readAnswer(resp)
}

func (p Post) request(url string) (*http.Request, error) {
	method, path, contentType := p.Method, p.Path, p.ContentType
	if method == "" {
		method = "POST"
	}
	if path == "" {
		path = "/v1/events"
	}
	if contentType == "" {
		contentType = "application/json"
	}
	req, err := http.NewRequest(method, url+path, bytes.NewReader(p.Body))
	if err != nil {
		return nil, err
	}
	if contentType != "-" {
		req.Header.Set("Content-Type", contentType)
	}
	for name, value := range p.Header {
		req.Header.Set(name, value)
	}
	if p.ID != "" {
		req.Header.Set("webhook-id", p.ID)
	}
	if p.Type != "" {
		req.Header.Set("webhook-event-type", p.Type)
	}
	return req, nil
}

func readAnswer(resp *http.Response) Answer {
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	a := Answer{Status: resp.StatusCode, Header: resp.Header, Body: body, Err: err}
	if err != nil {
		return a
	}
	switch a.Header.Get("Content-Type") {
	case "application/json":
		a.Err = json.Unmarshal(body, &a.Accepted)
		var batch struct{ Events []Accepted }
		if json.Unmarshal(body, &batch) == nil {
			a.Events = batch.Events
		}
	case "application/problem+json":
		a.Err = json.Unmarshal(body, &a.Problem)
	}
	return a
}

// Raw writes bytes to the events listener and reads one answer.
func (r *Relay) Raw(request string) Answer {
	conn, err := net.Dial("tcp", r.EventsAddress())
	if err != nil {
		return Answer{Err: err}
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(requestTimeout))
	if _, err := io.WriteString(conn, request); err != nil {
		return Answer{Err: err}
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return Answer{Err: err}
	}
	return readAnswer(resp)
}

// RawPost is a well-formed POST with any extra header lines, to send through Raw.
func RawPost(path, body string, lines ...string) string {
	s := "POST " + path + " HTTP/1.1\r\nHost: relay\r\nContent-Type: application/json\r\n" +
		"Content-Length: " + strconv.Itoa(len(body)) + "\r\n"
	for _, line := range lines {
		s += line + "\r\n"
	}
	return s + "\r\n" + body
}
