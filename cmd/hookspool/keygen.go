package main

import (
	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay/signature"
)

func (c *cli) keygenCommand() *cobra.Command {
	v1a := false
	cmd := &cobra.Command{
		Use:   "keygen",
		Short: "Make a secret that signs requests",
		Long: "Make a secret for signatures by Standard Webhooks: whsec_… (HMAC-SHA256), which sender " +
			"and\n" +
			"receiver share, or with --v1a whsk_… (ed25519), of which the receiver gets the public\n" +
			"half, whpk_…. The secret is the first line on stdout, the public half the second; the\n" +
			"rest goes to stderr.",
		Example: "  hookspool keygen\n" +
			"  hookspool keygen 2>/dev/null >crm.secret    # then: secret = \"file:/path/crm.secret\"\n" +
			"  hookspool keygen --v1a --json",
		Args: arguments(0),
		RunE: func(*cobra.Command, []string) error { return c.keygen(v1a) },
	}
	cmd.Flags().BoolVar(&v1a, "v1a", false, "make an ed25519 pair instead of a shared secret")
	return cmd
}

func (c *cli) keygen(v1a bool) error {
	secret, public, err := signature.Generate(v1a)
	if err != nil {
		return err
	}
	if c.json {
		return c.printJSON(struct {
			Secret string `json:"secret"`
			Public string `json:"public,omitempty"`
		}{secret, public})
	}
	c.print("%s\n", secret)
	if public != "" {
		c.print("%s\n", public)
	}
	c.say("")
	c.say("Keep the secret (the first line) out of the config file and out of version control:")
	c.say("")
	c.say("  [target.NAME]")
	c.say(`  secret = "env:NAME_SECRET"     # or "file:/path"`)
	c.say("")
	if public != "" {
		c.say("Give the receiver the second line, which only verifies.")
	} else {
		c.say("Give the receiver the same secret; it verifies with any Standard Webhooks library.")
	}
	c.say("To change a secret without a gap, sign with both for a while: secret = [new, old].")
	return nil
}
