package config

// alertCases are faults of [alert], [alert.webhook] and log.deliveries.
func alertCases() [][2]string {
	const percent = "\n  hint: percent of defect.after_failed_jobs"
	const list = "\n  hint: write [90] or [50, 75, 90]"
	const level = ": log.deliveries: is true, but log.level leaves out what has level info: " +
		"there would be no such line\n  hint: write level = \"info\", or deliveries = false"
	alert := func(line string) string { return "[alert]\n" + line }
	hook := func(line string) string { return "[alert.webhook]\n" + line }
	return [][2]string{
		{alert("warn_at = []"), ""},
		{alert("warn_at = [1, 99]\ntls_expiry = \"0s\"\nspool_percent = 99"), ""},
		{alert("warn_at = 90"),
			"2:1: alert.warn_at: must be a list of percentages, not an integer" + list},
		{alert("warn_at = [0, 100, \"90\"]"),
			"2:12: alert.warn_at[0]: must be from 1 to 99, but is 0" + percent + "\n" +
				"2:15: alert.warn_at[1]: must be from 1 to 99, but is 100" + percent + "\n" +
				"2:20: alert.warn_at[2]: must be an integer, not a string" +
				"\n  hint: a whole number without quotes, such as 8"},
		{alert("warn_at = [90, 90]"),
			"2:16: alert.warn_at[1]: 90 stands in the list twice\n  hint: leave one"},
		{alert("warn_at = [" + many(11, "%d") + "]"),
			"2:1: alert.warn_at: has 11 items, the most is 10"},
		{alert("tls_expiry = \"366d\""),
			"2:1: alert.tls_expiry: must be from 10ms to 8760h, or 0s, but is 8784h" +
				"\n  hint: a certificate must be good for longer, or there is a warning; 0s: no warning"},
		{alert("spool_percent = 100"), "2:1: alert.spool_percent: must be from 0 to 99, but is 100" +
			"\n  hint: percent of the room that the spool has; 0: no warning"},
		{alert("webhok = 1"), "2:1: alert.webhok: unknown key\n  hint: did you mean \"webhook\"?"},
		{hook(`url = ""`), ""},
		{hook("url = \"ftp://x\""), "2:1: alert.webhook.url: is not an absolute http:// or " +
			"https:// URL with a host\n  hint: write \"https://host/path\""},
		{hook("url = \"http://x\"\nca_file = \"/ca.pem\""), "3:1: alert.webhook.ca_file: " +
			"has no meaning for an http:// url\n  hint: write https:// in the url, or remove it"},
		{hook("url = \"https://x\"\nheaders = { webhook-x = \"1\" }"),
			"3:13: alert.webhook.headers.webhook-x: headers that begin with webhook- are " +
				"hookspool's own\n  hint: use another name"},
		{hook("events = [\"*\"]"),
			"2:1: alert.webhook.events: unknown key\n  hint: events belongs in [target.NAME]"},
		{"[log]\nlevel = \"info\"\ndeliveries = true", ""},
		{"[log]\nlevel = \"warn\"\ndeliveries = true", "3:1" + level},
	}
}
