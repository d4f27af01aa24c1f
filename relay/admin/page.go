package admin

import (
	"embed"
	"encoding/json"
	"net/http"
	"path"
	"strings"

	"github.com/hookspool/hookspool/relay/sample"
)

// pageFiles is the console: plain HTML, CSS and JavaScript modules that are served as they are, and
// uPlot, which draws the plots. There is no build step, so what a browser gets is what a reader of
// this repository sees. Whatever the scripts show they set as text, never as markup: names, events,
// answers and errors come from others.
//
//go:embed page
var pageFiles embed.FS

// pageDir is where the files are embedded; pageIndex is served at "/", and openAPIFile by the API.
const (
	pageDir     = "page"
	pageIndex   = "index.html"
	openAPIFile = "openapi.json"
)

// pageKind is the content type of a file. It is given rather than looked up, because package mime
// asks the files of the system first.
func pageKind(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".json":
		return "application/json"
	case ".txt":
		return "text/plain; charset=utf-8"
	}
	panic("BUG: a file of the console has no content type: " + name)
}

// pageRoutes are the files of the console, which a browser asks the token for before the page has
// run a line, and the list of sample types for its form.
func pageRoutes() []route {
	entries, err := pageFiles.ReadDir(pageDir)
	if err != nil {
		panic("BUG: the console is not embedded: " + err.Error())
	}
	var routes []route
	for _, entry := range entries {
		if entry.Name() == openAPIFile {
			continue
		}
		at := "/" + strings.TrimSuffix(entry.Name(), pageIndex)
		routes = append(routes, route{http.MethodGet, at, pages, nil, serveFile(entry.Name())})
	}
	types, err := json.Marshal(sample.Types())
	if err != nil {
		panic("BUG: the sample types cannot be encoded: " + err.Error())
	}
	return append(routes, route{http.MethodGet, "/sample-types.json", api, nil,
		serveBytes(pageKind(".json"), types)})
}

// serveFile makes a call that answers with one embedded file.
func serveFile(name string) func(*call) error {
	content, err := pageFiles.ReadFile(pageDir + "/" + name)
	if err != nil {
		panic("BUG: a file of the console is not embedded: " + err.Error())
	}
	return serveBytes(pageKind(name), content)
}

func serveBytes(kind string, content []byte) func(*call) error {
	return func(c *call) error {
		c.send(http.StatusOK, kind, content)
		return nil
	}
}
