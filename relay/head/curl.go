package head

import (
	"fmt"
	"strings"
)

// Again is a request that is to be made again.
type Again struct {
	ID   string // of the event
	Head Head   // of the request
	// Transformed and Batched: the body that was sent is not the event's payload.
	Transformed, Batched bool
}

// The variables that stand for what is secret and has no name of its own.
const (
	secretVariable = "SECRET"
	queryVariable  = "QUERY"
)

// Curl are the commands that make a request again: the payload from the relay, the signature from a
// secret in the environment, and curl. What is secret is a variable of the shell, and a comment
// names those that have to be set.
func Curl(a *Again) string {
	var b strings.Builder
	c := command{to: &b}
	c.fields(a)
	method, url := a.Head.Request()
	url, isQuery := strings.CutSuffix(url, Redacted)
	shown := Quote(url)
	if isQuery {
		shown += c.variable(queryVariable)
	}
	var before strings.Builder
	if len(c.variables) > 0 {
		fmt.Fprintf(&before, "# what is secret is not shown; set %s\n",
			strings.Join(c.variables, ", "))
	}
	switch {
	case a.Transformed:
		before.WriteString("# the target has a transform: it was sent another body than the payload\n")
	case a.Batched:
		before.WriteString("# the target takes batches: it was sent the payload among others\n")
	}
	fmt.Fprintf(&before, "hookspool events %s --payload >payload\n", Quote(a.ID))
	if c.signed {
		fmt.Fprintf(&before, "hookspool sign --secret env:%s --id %s payload >headers\n",
			secretVariable, Quote(a.ID))
	}
	return fmt.Sprintf("%scurl -i -X %s%s \\\n  --data-binary @payload %s\n", &before, method, &b,
		shown)
}

// command collects the options of a curl.
type command struct {
	to        *strings.Builder
	variables []string // of the shell, that stand for secrets
	signed    bool
}

// fields writes the headers that curl and sign do not write themselves.
func (c *command) fields(a *Again) {
	if _, c.signed = a.Head.Get("webhook-signature"); c.signed {
		c.variables = append(c.variables, secretVariable)
		c.to.WriteString(" -H @headers")
	} else {
		fmt.Fprintf(c.to, " \\\n  -H %s -H \"webhook-timestamp: $(date +%%s)\"",
			Quote("webhook-id: "+a.ID))
	}
	_, url := a.Head.Request()
	for _, f := range a.Head.Fields {
		switch strings.ToLower(f.Name) {
		case "content-length", "proxy-authorization",
			"webhook-id", "webhook-timestamp", "webhook-signature":
			continue
		case "host":
			if _, rest, _ := strings.Cut(url, "://"); strings.HasPrefix(rest, f.Value+"/") {
				continue
			}
		}
		if f.Value == Redacted {
			fmt.Fprintf(c.to, " \\\n  -H %s%s", Quote(f.Name+": "), c.variable(variableOf(f.Name)))
			continue
		}
		fmt.Fprintf(c.to, " \\\n  -H %s", Quote(f.Name+": "+f.Value))
	}
}

// variable is a secret in a command.
func (c *command) variable(name string) string {
	c.variables = append(c.variables, name)
	return `"$` + name + `"`
}

// variableOf is the name of the variable that stands for the value of a header.
func variableOf(header string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return r
		}
		return '_'
	}, header)
	switch {
	case name == "", '0' <= name[0] && name[0] <= '9', // no variable begins with a digit
		name == "PATH", name == "HOME", name == secretVariable, name == queryVariable:
		name = "HEADER_" + name
	}
	return name
}

// Quote makes one word of a text for a POSIX shell.
func Quote(text string) string {
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' ||
			strings.ContainsRune("-_./:@%+,=", r)
	}
	if text != "" && strings.IndexFunc(text, func(r rune) bool { return !plain(r) }) < 0 {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
