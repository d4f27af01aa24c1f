package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay/signature"
)

// signedBytesMax bounds a body that is signed or verified; a relay never delivers a larger one.
const signedBytesMax = 16 << 20

// signing is what sign and verify are told by flags.
type signing struct {
	secrets   []string
	id        string
	timestamp string
}

func (s *signing) addFlags(cmd *cobra.Command, what string) {
	addSecretFlag(cmd.Flags(), &s.secrets, what)
	cmd.Flags().StringVar(&s.id, "id", "", "the event's `ID` (webhook-id)")
}

// check wants the flags without which nothing can be done.
func (s *signing) check(cmd *cobra.Command) error {
	if len(s.secrets) == 0 {
		return misuse(cmd.CommandPath()+" --help", "--secret is missing")
	}
	if s.id == "" {
		return misuse(cmd.CommandPath()+" --help", "--id is missing")
	}
	return nil
}

func (c *cli) signCommand() *cobra.Command {
	var s signing
	cmd := &cobra.Command{
		Use:   "sign [FILE|-]",
		Short: "Sign a body as a target's receiver would see it",
		Long: "Sign a body from FILE or stdin by Standard Webhooks and print the three headers, in a " +
			"form\n" +
			"that curl reads.",
		Example: "  hookspool sign --secret env:CRM_SECRET --id evt_1 body.json\n" +
			"  hookspool sign --secret file:crm.secret --id evt_1 body.json >headers\n" +
			"  curl -H @headers --data-binary @body.json http://127.0.0.1:9000/hook",
		Args: arguments(0, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.check(cmd); err != nil {
				return err
			}
			if err := checkEventID(s.id); err != nil {
				return err
			}
			return c.sign(&s, first(args))
		},
	}
	s.addFlags(cmd, "sign with this whsec_… or whsk_… `SECRET`")
	cmd.Flags().StringVar(&s.timestamp, "timestamp", "", "the `SECONDS` since 1970 (default: now)")
	return cmd
}

func (c *cli) sign(s *signing, file string) error {
	keys, err := c.keys(s.secrets)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if !key.CanSign() {
			return misuse("sign with the whsk_… secret that it belongs to", "a whpk_… key only verifies")
		}
	}
	seconds := time.Now().Unix()
	if s.timestamp != "" {
		if seconds, err = strconv.ParseInt(s.timestamp, 10, 64); err != nil {
			return misuse("write the seconds since 1970, such as 1790000000, or leave it out for now",
				"--timestamp %q is not a number of seconds", s.timestamp)
		}
	}
	body, err := c.readInput(file, signedBytesMax)
	if err != nil {
		return err
	}
	value := string(signature.AppendAll(nil, keys, s.id, seconds, body))
	if c.json {
		return c.printJSON(map[string]string{"webhook-id": s.id,
			"webhook-timestamp": strconv.FormatInt(seconds, 10), "webhook-signature": value})
	}
	c.print("webhook-id: %s\nwebhook-timestamp: %d\nwebhook-signature: %s\n", s.id, seconds, value)
	return nil
}

// eventIDBytesMax bounds an id (CONTRACT §4).
const eventIDBytesMax = 256

// checkEventID refuses an id that no relay takes. What is signed is id.timestamp.body, so an id
// with a dot could be read as another id and timestamp; the rest could not stand in a header.
func checkEventID(id string) error {
	bad := func(r rune) bool { return r == ' ' || r == '.' || unicode.IsControl(r) }
	if len(id) <= eventIDBytesMax && utf8.ValidString(id) && !strings.ContainsFunc(id, bad) {
		return nil
	}
	return misuse(fmt.Sprintf("an id is up to %d bytes of UTF-8 without spaces, dots and control "+
		"characters", eventIDBytesMax), "no relay accepts the id %q", id)
}

// first returns the first argument, or nothing.
func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}
