// Openapicheck holds answers of a relay to the OpenAPI document that it serves: the document itself
// must be OpenAPI 3.1, and every answer what it says of that call. It is a module of its own,
// because the library that knows OpenAPI takes longer to compile than all of hookspool.
//
//	go run -C testenv/openapicheck . FILE
//
// FILE is what a test has heard, as JSON: see talk.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
)

// talk is a document and what was answered by the relay that serves it.
type talk struct {
	Document []byte
	Answers  []answer
}

type answer struct {
	Method, URL string
	Status      int
	Header      http.Header
	Body        []byte
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: openapicheck FILE")
		os.Exit(2)
	}
	n, err := check(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	fmt.Printf("%d answers are as documented\n", n)
}

func check(file string) (int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	var t talk
	if err := json.Unmarshal(text, &t); err != nil {
		return 0, fmt.Errorf("cannot read %s: %w", file, err)
	}
	doc, err := libopenapi.NewDocument(t.Document)
	if err != nil {
		return 0, err
	}
	v, errs := validator.NewValidator(doc)
	if len(errs) > 0 {
		return 0, errors.Join(errs...)
	}
	if ok, faults := v.ValidateDocument(); !ok {
		return 0, fmt.Errorf("it is no OpenAPI 3.1: %v", faults)
	}
	if len(t.Answers) == 0 {
		return 0, errors.New("there are no answers")
	}
	var all error
	for _, a := range t.Answers {
		all = errors.Join(all, a.hold(v))
	}
	return len(t.Answers), all
}

// hold holds one answer to the document.
func (a *answer) hold(v validator.Validator) (err error) {
	req, err := http.NewRequest(a.Method, a.URL, http.NoBody)
	if err != nil {
		return err
	}
	res := &http.Response{StatusCode: a.Status, Header: a.Header, Request: req,
		Body: io.NopCloser(bytes.NewReader(a.Body))}
	ok, faults := v.ValidateHttpResponse(req, res)
	if ok {
		return nil
	}
	for _, fault := range faults {
		err = errors.Join(err, fmt.Errorf("%s %s: %s: %s", a.Method, a.URL, fault.Message, fault.Reason))
		for _, s := range fault.SchemaValidationErrors {
			err = errors.Join(err, fmt.Errorf("    %s: %s in %.500s", s.FieldPath, s.Reason, a.Body))
		}
	}
	return err
}
