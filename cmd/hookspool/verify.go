package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay/signature"
)

func (c *cli) verifyCommand() *cobra.Command {
	var s signing
	header, tolerance := "", 5*time.Minute
	cmd := &cobra.Command{
		Use:   "verify [FILE|-]",
		Short: "Verify the signature of a body",
		Long: "Verify the signature of a body from FILE or stdin by Standard Webhooks, as a receiver " +
			"does.\n" +
			"Exit 1 when no signature is by one of the secrets, or the timestamp is too far from now.",
		Example: "  hookspool verify --secret env:CRM_SECRET --id evt_1 --timestamp 1790000000 \\\n" +
			"    --signature 'v1,K5oZ…=' body.json\n" +
			"  hookspool verify --secret whpk_… --id evt_1 --timestamp 1790000000 \\\n" +
			"    --signature 'v1a,…' --tolerance 0 <body.json",
		Args: arguments(0, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.check(cmd); err != nil {
				return err
			}
			if s.timestamp == "" || header == "" {
				return misuse(cmd.CommandPath()+" --help", "--timestamp or --signature is missing")
			}
			return c.verify(&s, header, tolerance, first(args))
		},
	}
	s.addFlags(cmd, "verify with this whsec_…, whsk_… or whpk_… `SECRET`")
	cmd.Flags().StringVar(&s.timestamp, "timestamp", "", "the `SECONDS` of webhook-timestamp")
	cmd.Flags().StringVar(&header, "signature", "", "the `VALUE` of webhook-signature")
	cmd.Flags().DurationVar(&tolerance, "tolerance", tolerance, "the `DURATION` that the timestamp "+
		"may be from now; 0: any")
	return cmd
}

func (c *cli) verify(s *signing, header string, tolerance time.Duration, file string) error {
	keys, err := c.keys(s.secrets)
	if err != nil {
		return err
	}
	body, err := c.readInput(file, signedBytesMax)
	if err != nil {
		return err
	}
	err = signature.Verify(keys, s.id, s.timestamp, header, body, time.Now(), tolerance)
	if c.json {
		answer := struct {
			Valid bool   `json:"valid"`
			Error string `json:"error,omitempty"`
		}{Valid: err == nil}
		if err != nil {
			answer.Error = err.Error()
		}
		if printErr := c.printJSON(answer); printErr != nil || err == nil {
			return printErr
		}
		return silent()
	}
	switch {
	case errors.Is(err, signature.ErrTimestamp):
		return fail("--tolerance 0 verifies a request of the past", "%w", err)
	case errors.Is(err, signature.ErrNoMatch):
		return fail("secret, id, timestamp and every byte of the body must be those that were signed; "+
			"a parsed and printed JSON is another body", "%w", err)
	case err != nil:
		return fail("--signature is the whole value of webhook-signature, such as 'v1,K5oZ…='", "%w",
			err)
	}
	c.print("valid\n")
	return nil
}
