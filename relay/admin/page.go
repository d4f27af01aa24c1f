package admin

import (
	"embed"

	"github.com/valyala/fasthttp"
)

// pageFiles is the console as it is now: one table that a script of a few lines keeps fresh. What
// the script shows it sets as text, so that a target's answer cannot become markup.
//
//go:embed page/index.html page/console.js page/console.css page/openapi.json
var pageFiles embed.FS

// page holds the files of the console by name. Read-only.
type page map[string][]byte

func loadPage() page {
	p := page{}
	for _, name := range []string{"index.html", "console.js", "console.css", "openapi.json"} {
		content, err := pageFiles.ReadFile("page/" + name)
		if err != nil {
			panic("BUG: a file of the console is not embedded: " + err.Error())
		}
		p[name] = content
	}
	return p
}

// serve makes a call that answers with one file. The type is given rather than looked up, because
// package mime asks the files of the system first.
func (p page) serve(name, kind string) func(*fasthttp.RequestCtx, []string) error {
	content := p[name]
	return func(ctx *fasthttp.RequestCtx, _ []string) error {
		ctx.SetContentType(kind + "; charset=utf-8")
		ctx.SetBody(content)
		return nil
	}
}
