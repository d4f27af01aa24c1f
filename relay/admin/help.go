package admin

import (
	"bytes"
	"html"
	"net/http"
)

// Manual returns a page of the manual: its title, and its content as HTML, in which pages are
// linked by their names. The empty name is the list of all. It is trusted: nothing in the content
// is escaped again.
type Manual func(name string) (title string, content []byte, ok bool)

// helpPath is where the manual is served, with the name of a page after it. Links and files are
// relative, so that it works below any prefix of a proxy.
const helpPath = "/help/"

// The frame around a page of the manual: the console's, without its scripts.
const (
	helpHead = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>`
	helpTop = ` · hookspool</title>
<link rel="icon" href="../icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="../console.css">
<link rel="stylesheet" href="../help.css">
</head>
<body>
<a class="skip" href="#main">Skip to content</a>
<header class="top">
<a class="brand" href="../#/"><img src="../icon.svg" alt="" width="20" height="20">hookspool</a>
<nav aria-label="Views">
<a href="../#/">Overview</a>
<a href="../#/search">Search</a>
<a href="./" aria-current="true">Help</a>
</nav>
</header>
<main id="main" class="help" tabindex="-1">
`
	helpFoot = "</main>\n</body>\n</html>\n"
)

// helpPage is a page of the manual in the console's frame; false: there is none of this name.
func helpPage(manual Manual, name string) (page []byte, ok bool) {
	if manual == nil {
		return nil, false
	}
	title, content, ok := manual(name)
	if !ok {
		return nil, false
	}
	var b bytes.Buffer
	for _, part := range []string{helpHead, html.EscapeString(title), helpTop, string(content),
		helpFoot} {
		b.WriteString(part)
	}
	return b.Bytes(), true
}

// help answers with a page of the manual.
func (s *Server) help(c *call) error {
	name := c.arg("name") // of the list: none
	page, ok := helpPage(s.options.Manual, name)
	if !ok {
		refusal := Refuse(http.StatusNotFound, codeNotFound, "the manual has no page %q",
			shorten(name))
		refusal.Hint = helpPath + " lists its pages"
		return refusal
	}
	return serveBytes(pageKind(".html"), page)(c)
}
