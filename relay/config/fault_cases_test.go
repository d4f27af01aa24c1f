package config

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// faultCases are pairs of a text and what TestFaults wants to read of it. The fuzzers begin with
// them too.
func faultCases() [][2]string {
	return slices.Concat(syntaxCases(), keyCases(), typeCases(), rangeCases(), serverCases(),
		hostCases(), secretCases(), emailCases(), alertCases(), targetCases(), listCases(), urlCases(), headerCases(),
		combinationCases(), engineCases(), oauth2Cases(), programCases(), proxyCases())
}

func target(lines string) string {
	return "[target.t]\nurl = \"https://x\"\nevents = [\"*\"]\n" + lines
}

// many joins n copies of a text with a number in it.
func many(n int, format string) string {
	var parts []string
	for i := range n {
		parts = append(parts, fmt.Sprintf(format, i))
	}
	return strings.Join(parts, ", ")
}

func base64Of(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }

func syntaxCases() [][2]string {
	const number = "\n  hint: strings need quotes: key = \"value\""
	const twice = "\n  hint: every key and every [table] stands once in the file"
	const invalid = "is not valid TOML: "
	return [][2]string{
		{"[server]\nlisten = \"x", "2:11: " + invalid + "unexpected EOF; expected '\"'"},
		{"[log]\nlevel = warn", "2:9: " + invalid + "not a number, date, true or false" + number},
		// "inf" is a number, so the library stumbles over the rest.
		{"[log]\nlevel = info", "2:12: " + invalid + "something follows where the line should end" +
			"\n  hint: one key = value a line; strings need quotes: key = \"value\""},
		{"a = 2024-13-45", "1:5: " + invalid + "not a number, date, true or false" + number},
		{"a = 1__2", "1:5: " + invalid + "not a number, date, true or false" + number},
		{"[log]\n\n[log]", "3:2: log: is defined twice, or as two different things" + twice},
		{"[log]\nlevel = \"info\"\nlevel = \"warn\"",
			"3:1: log.level: is defined twice, or as two different things" + twice},
		{"[target.\"größe\"]\n[target.\"größe\"]",
			"2:2: target.größe: is defined twice, or as two different things" + twice},
		{"[server]\nevent_token = {pw = 1, pw = 2}",
			"2:24: server.event_token: is defined twice, or as two different things" + twice},
		{"[target.t]\nurl = 1\n[target.t.url.x]",
			"3:2: target.t.url: is defined twice, or as two different things" + twice},
		{"[spool]\ndir = \"C:\\Users\"", "2:8: " + invalid + "a bad escape in a string" +
			"\n  hint: write \\\\ for a backslash, or use 'single quotes', where nothing is escaped"},
		// The column counts characters, not bytes.
		{"'ä' = @", "1:7: " + invalid + "not a number, date, true or false" + number},
		{"a = \xff", "1:5: " + invalid + "invalid UTF-8 byte: 0xff"},
		{strings.Repeat("#", configBytesMax+1), "1:1: is larger than 1MiB" +
			"\n  hint: a config is rarely larger than 100KiB: is this the right file?"},
		// What would cost the library minutes and gigabytes.
		{"a=" + strings.Repeat("{a=", 300_000),
			"1:25: is nested too deep: no key has more than 5 parts\n  hint: is this the right file?"},
		{"a=" + strings.Repeat("[", 1_000_000),
			"1:11: is nested too deep: no key has more than 5 parts\n  hint: is this the right file?"},
		{strings.Repeat("a.", 500_000) + "a=1",
			"1:17: is nested too deep: no key has more than 5 parts\n  hint: is this the right file?"},
		{strings.Repeat("a", 1000) + "=1",
			"1:1: is longer than any key may be\n  hint: is this the right file?"},
	}
}

func keyCases() [][2]string {
	const known = "\n  hint: known here: listen, admin_listen, event_token, admin_token, " +
		"max_body_size, read_timeout, drain_timeout, reload_check, admin_hosts"
	const crm = "  hint: write [target.NAME], with a name of your choice, and its keys below"
	return [][2]string{
		// Nearest key, misplaced key, and neither.
		{"[server]\n  listn = []", "2:3: server.listn: unknown key\n  hint: did you mean \"listen\"?"},
		{"[server]\ninterval = 1",
			"2:1: server.interval: unknown key\n  hint: interval belongs in [retry]"},
		{"timeout = 1", "1:1: timeout: unknown key\n  hint: timeout belongs in [target.NAME]"},
		{"[defect]\nfoo = {}",
			"2:1: defect.foo: unknown table\n  hint: known here: after_failed_jobs"},
		{"[email]", "1:2: email: unknown table\n  hint: email belongs in [alert]"},
		{"[alert.mail]", "1:8: alert.mail: unknown table\n  hint: did you mean \"email\"?"},
		{"[server.log]",
			"1:9: server.log: unknown table\n  hint: [log] stands at the top, not inside another table"},
		{"[server]\n\"größe\" = 1", "2:1: server.größe: unknown key" + known},
		{"[server]\n\"порт: 1\" = 1", "2:1: server.порт…: unknown key" + known},
		{"[[targets]]", "1:3: targets: unknown table\n  hint: did you mean \"target\"?"},
		{target("evnets = []"), "4:1: target.t.evnets: unknown key\n  hint: did you mean \"events\"?"},
		// Every way to write a key has its place.
		{"retry . \"intervall\" = 1",
			"1:9: retry.intervall: unknown key\n  hint: did you mean \"interval\"?"},
		{"retry = { 'max\\_attempts' = 1 }", "1:11: retry.max…: unknown key\n  hint: " +
			"did you mean \"max_attempts\"?"},
		{"[\"re\\u0074ry\"] # [x]\n\"\\u0061\" = '''\n[log]\n'''", "2:1: retry.a: unknown key" +
			"\n  hint: known here: interval, max_attempts, stop_job_after"},
		// Tables where none are wanted, and the reverse.
		{"[[target]]\nurl = \"x\"", "1:3: target: must be tables with names, not an array of tables" +
			"\n  hint: write [target.NAME], such as [target.crm]"},
		{"[target]\nurl = \"x\"", "2:1: target.url: must be a table, not a string\n" + crm},
		{"[[target.crm]]", "1:10: target.crm: must be a table, not an array of tables\n" + crm},
		{"log = \"debug\"",
			"1:1: log: must be a table, not a string\n  hint: write [log] on a line of its own"},
		{"[log.level]", "1:6: log.level: must be a string, not a table" +
			"\n  hint: strings stand in quotes"},
	}
}

func typeCases() [][2]string {
	const quotes = "\n  hint: strings stand in quotes"
	const durations = "\n  hint: write a number with ms, s, m, h or d in quotes, such as \"10m\""
	const sizes = "\n  hint: write a number with B, KiB, MiB, GiB, TiB (or KB, MB, GB, TB) in " +
		"quotes, such as \"512KiB\""
	return [][2]string{
		{"[retry]\ninterval = 600",
			"2:1: retry.interval: must be a duration in quotes, not an integer" + durations},
		{"[retry]\ninterval = \"600\"", "2:1: retry.interval: \"600\" is not a duration" + durations},
		{"[retry]\ninterval = \"10 m\"", "2:1: retry.interval: \"10 m\" is not a duration" + durations},
		{"[spool]\nmax_size = 1e9",
			"2:1: spool.max_size: must be a size in quotes, not a float" + sizes},
		{"[spool]\nmax_size = \"100\"", "2:1: spool.max_size: \"100\" is not a size" + sizes},
		{"[spool]\nmax_size = \"1gb\"",
			"2:1: spool.max_size: \"1gb\" is not a size: no unit \"gb\"" + sizes},
		{"[spool]\nmax_size = \"-1GB\"", "2:1: spool.max_size: \"-1GB\" is not a size" + sizes},
		{"[retry]\nmax_attempts = \"144\"",
			"2:1: retry.max_attempts: must be an integer, not a string" +
				"\n  hint: a whole number without quotes, such as 8"},
		{"[session]\nenabled = 1", "2:1: session.enabled: must be true or false, not an integer" +
			"\n  hint: without quotes"},
		{"[spool]\ndir = true", "2:1: spool.dir: must be a string, not a boolean" + quotes},
		{"[server]\nevent_token = 2024-01-01",
			"2:1: server.event_token: must be a string, not a date or time" +
				"\n  hint: in quotes; \"env:NAME\" and \"file:/path\" are read"},
		{"[event]\ndefault_type = []", "2:1: event.default_type: must be a string, not a list" +
			quotes},
		{"[event]\ndefault_type = \"\\u0000\"",
			"2:1: event.default_type: a type is at most 256 bytes without control characters"},
		{"[session]\nkey_fields = \"a\"",
			"2:1: session.key_fields: must be a list of strings, not a string" +
				"\n  hint: write [\"conversationId\", \"waId\"]"},
		{"[session]\nkey_fields = [\n \"a\", # x\n {}]",
			"4:2: session.key_fields[1]: must be a string, not a table" + quotes},
		{"[log]\nformat = \"JSON\"", "2:1: log.format: \"JSON\" is not one of \"text\", \"json\"" +
			"\n  hint: did you mean \"json\"?"},
		{"[log]\nlevel = \"loud\"",
			"2:1: log.level: \"loud\" is not one of \"debug\", \"info\", \"warn\", \"error\""},
		{"[spool]\ndir = \"env:DIR\"", "2:1: spool.dir: cannot come from env: or file:\n  hint: " +
			"they work for tokens, keys, passwords, SMTP settings, URLs, secrets and headers"},
	}
}

func rangeCases() [][2]string {
	const body = "\n  hint: an event must fit into one spool record, which is below 1MiB " +
		"with its headers"
	const exhausted = "\n  hint: somebody must have the time to see what was given up, " +
		"so it cannot be 0"
	return [][2]string{
		{"[retry]\ninterval = \"10ms\"", ""},
		{"[retry]\ninterval = \"1ms\"", "2:1: retry.interval: must be from 10ms to 168h, but is 1ms" +
			"\n  hint: 10m is Wati's tick; below 10ms nothing could be tried between ticks"},
		{"[retry]\ninterval = \"0s\"", "2:1: retry.interval: must be from 10ms to 168h, but is 0s" +
			"\n  hint: 10m is Wati's tick; below 10ms nothing could be tried between ticks"},
		{"[server]\nreload_check = \"-5s\"",
			"2:1: server.reload_check: must be from 10ms to 24h, or 0s, but is -5s\n  hint: " +
				"the file and those it names are read and compared this often; 0s: reload only on SIGHUP and by the API"},
		{"[spool]\nkeep_exhausted = \"0s\"",
			"2:1: spool.keep_exhausted: must be from 10ms to 87600h, but is 0s" + exhausted},
		{"[server]\nmax_body_size = \"1000000B\"", ""},
		{"[server]\nmax_body_size = \"1MiB\"",
			"2:1: server.max_body_size: must be from 1B to 1MB, but is 1MiB" + body},
		{"[server]\nmax_body_size = \"0B\"",
			"2:1: server.max_body_size: must be from 1B to 1MB, but is 0B" + body},
		{"[spool]\nmax_size = \"1000KiB\"",
			"2:1: spool.max_size: must be from 4MiB to 1024TiB, but is 1000KiB" +
				"\n  hint: with less the engine's own files leave no room for events"},
		{"[spool]\nmin_free_disk = \"2000TiB\"",
			"2:1: spool.min_free_disk: must be from 0B to 1024TiB, but is 2000TiB" +
				"\n  hint: 0B: do not look at the disk"},
		{"[retry]\nmax_attempts = -1",
			"2:1: retry.max_attempts: must be from 0 to 100000, but is -1" +
				"\n  hint: retries after the first send; 0: none; 144 ticks of 10m are a day"},
		{target("concurrency = 0"), "4:1: target.t.concurrency: must be from 1 to 1024, but is 0" +
			"\n  hint: attempts in flight to this target; 1 keeps their order"},
		{target("concurrency = 1024\ntimeout = \"1ms\""), ""},
		{target("timeout = \"0s\""), "4:1: target.t.timeout: must be from 1ms to 10m, but is 0s" +
			"\n  hint: it bounds the whole exchange; a hung target holds an attempt this long"},
	}
}

func serverCases() [][2]string {
	const hint = "\n  hint: write \"127.0.0.1:8470\", \":8470\" for all interfaces, or \"unix:/path\""
	const own = "\n  hint: events and admin need addresses of their own"
	listen := func(list string) string { return "[server]\nlisten = " + list }
	admin := func(address string) string { return "[server]\nadmin_listen = \"" + address + "\"" }
	return [][2]string{
		{listen(`[":1", "unix:/x", "localhost:0", "127.0.0.1:0", "[::1]:0"]`), ""},
		{listen(`[]`), "2:1: server.listen: cannot be empty\n  hint: write [\"127.0.0.1:8470\"]"},
		{listen(`"127.0.0.1"`), "2:1: server.listen: \"127.0.0.1\" is not host:port" + hint},
		{listen(`["h:1", "h:http"]`),
			"2:18: server.listen[1]: \"http\" is not a port from 0 to 65535" + hint},
		{listen(`["h:65536"]`),
			"2:11: server.listen[0]: \"65536\" is not a port from 0 to 65535" + hint},
		{listen(`["a/b:1"]`),
			"2:11: server.listen[0]: \"a/b\" is neither an IP address nor a host name" + hint},
		{listen(`["unix:x"]`), "2:11: server.listen[0]: a unix socket needs an absolute path" + hint},
		{listen(`["unix:/` + strings.Repeat("x", 107) + `"]`), "2:11: server.listen[0]: the path of " +
			"a unix socket is 107 bytes at most, this is 108\n  hint: use a shorter directory"},
		{listen(`["h:1", "h:1"]`),
			"2:18: server.listen[1]: \"h:1\" stands in the list twice\n  hint: leave one"},
		// One fault does not hide another.
		{listen(`["127.0.0.1:1", "127.0.0.1:1"]`) + "\nadmin_listen = \"127.0.0.1:1\"",
			"2:11: server.listen[0]: \"127.0.0.1:1\" cannot be bound beside admin_listen, " +
				"\"127.0.0.1:1\"" + own + "\n2:26: server.listen[1]: \"127.0.0.1:1\" stands in the " +
				"list twice\n  hint: leave one"},
		{listen(`["localhost:1", "[::]:01"]`), "2:26: server.listen[1]: " +
			"\"[::]:01\" cannot be bound beside \"localhost:1\"\n  hint: leave one"},
		{listen(`["unix:/a/b", "unix:/a//b"]`), "2:24: server.listen[1]: " +
			"\"unix:/a//b\" cannot be bound beside \"unix:/a/b\"\n  hint: leave one"},
		{listen(`":8471"`), "2:1: server.listen: " +
			"\":8471\" cannot be bound beside admin_listen, \"127.0.0.1:8471\"" + own},
		{admin("127.0.0.1:8470"), "1:2: server.listen: " +
			"\"127.0.0.1:8470\" cannot be bound beside admin_listen, \"127.0.0.1:8470\"" + own},
		{admin("unix:/run/a.sock"), ""},
		{admin("[::1]:1"), ""},
		{admin(""), "2:1: server.admin_listen: \"\" is not host:port" + hint},
		{admin(":1"), "2:1: server.admin_listen: \":1\" can be reached from other machines, but " +
			"admin_token is empty\n  hint: set admin_token, or listen on 127.0.0.1 or a unix socket"},
		{admin(":1") + "\nadmin_token = \"x\"", ""},
	}
}

func hostCases() [][2]string {
	const name = "\n  hint: write \"hookspool\" or \"hookspool.example.com\", without a scheme"
	const address = "\n  hint: addresses are served without this list"
	hosts := func(host string) string { return "[server]\nadmin_hosts = [\"" + host + "\"]" }
	return [][2]string{
		{hosts("hookspool"), ""},
		{hosts("hookspool.example.com."), ""},
		{hosts("a_b-c.d"), ""},
		{hosts("*"), "2:16: server.admin_hosts[0]: \"*\" is not a host name\n  hint: there is none " +
			"for all: a request with the admin token may name any host"},
		{hosts("*.example.com"), "2:16: server.admin_hosts[0]: \"*.example.com\" is not a host name" +
			"\n  hint: there is none for all: a request with the admin token may name any host"},
		{hosts("hookspool:8471"), "2:16: server.admin_hosts[0]: \"hookspool:8471\" is not a host name" +
			"\n  hint: write \"hookspool\": the port does not matter"},
		{hosts("10.0.0.1"), "2:16: server.admin_hosts[0]: \"10.0.0.1\" is an address" + address},
		{hosts("[::1]"), "2:16: server.admin_hosts[0]: \"[::1]\" is an address" + address},
		{hosts("http://hookspool"), "2:16: server.admin_hosts[0]: \"http://hookspool\" is not a host " +
			"name" + name},
		{hosts("env:HOST"), "2:16: server.admin_hosts[0]: \"env:HOST\" is not a host name" + name},
		{hosts("a..b"), "2:16: server.admin_hosts[0]: \"a..b\" is not a host name" + name},
		{hosts(""), "2:16: server.admin_hosts[0]: \"\" is not a host name" + name},
		{hosts(strings.Repeat("a", 255)), "2:16: server.admin_hosts[0]: \"" + strings.Repeat("a", 255) +
			"\" is not a host name" + name},
	}
}

func secretCases() [][2]string {
	const token = "\n  hint: use letters, digits and ASCII punctuation, without spaces"
	const key = "\n  hint: make one with: openssl rand -base64 32"
	const keygen = "\n  hint: make one with: hookspool keygen"
	const unset = "\n  hint: to leave the key unset, write \"\""
	event := func(value string) string { return "[server]\nevent_token = \"" + value + "\"" }
	spool := func(value string) string { return "[spool]\nencryption_key = \"" + value + "\"" }
	secret := func(value string) string { return target("secret = " + value) }
	private := ed25519.NewKeyFromSeed(make([]byte, 32))
	whsk := base64.StdEncoding.EncodeToString(private)
	private[63] ^= 1
	return [][2]string{
		{event("a b"), "2:1: server.event_token: " +
			"holds a character that cannot stand in an Authorization header" + token},
		{event("env:GONE"), "2:1: server.event_token: environment variable GONE is not set" +
			"\n  hint: set it for the process that runs hookspool"},
		{event("env:EMPTY"), "2:1: server.event_token: environment variable EMPTY is empty" + unset},
		{event("env:"), "2:1: server.event_token: env: is not followed by the name of an " +
			"environment variable\n  hint: write \"env:NAME\""},
		{event("file:/gone"),
			"2:1: server.event_token: cannot read file \"/gone\": file does not exist" +
				"\n  hint: it must be a regular file that the user who runs hookspool can read"},
		{event("file:/empty"), "2:1: server.event_token: file \"/empty\" is empty" + unset},
		{event("file:/huge"), "2:1: server.event_token: file \"/huge\" is larger than 64KiB" +
			"\n  hint: it holds the value alone"},
		{spool(base64Of(16)), ""}, {spool(base64Of(24)), ""}, {spool(base64Of(32)), ""},
		{spool("%%"), "2:1: spool.encryption_key: is not base64" + key},
		{spool(base64Of(33)),
			"2:1: spool.encryption_key: must be 16, 24 or 32 bytes, but is 33" + key},
		{secret(`""`), ""}, {secret(`[]`), ""},
		{secret(`"whsec_` + base64Of(24) + `"`), ""},
		{secret(`["whsec_` + base64Of(64) + `", "whsk_` + whsk + `"]`), ""},
		{secret(`"whsec_` + base64Of(23) + `"`),
			"4:1: target.t.secret: must be whsec_ and the base64 of 24 to 64 bytes" + keygen},
		{secret(`["whsec_` + base64Of(65) + `"]`),
			"4:11: target.t.secret[0]: must be whsec_ and the base64 of 24 to 64 bytes" + keygen},
		{secret(`["x", ""]`),
			"4:11: target.t.secret[0]: must begin with whsec_ (HMAC) or whsk_ (ed25519 private key)" +
				keygen + "\n4:16: target.t.secret[1]: " +
				"must begin with whsec_ (HMAC) or whsk_ (ed25519 private key)" + keygen},
		{secret(`"whsk_` + base64Of(32) + `"`), "4:1: target.t.secret: must be whsk_ and the base64 " +
			"of 64 bytes, private key and public key" + keygen + " --v1a"},
		{secret(`"whsk_` + base64.StdEncoding.EncodeToString(private) + `"`),
			"4:1: target.t.secret: the public half of the whsk_ key does not belong to its private " +
				"half" + keygen + " --v1a"},
		{secret(`["whsk_` + whsk + `", "whsk_` + whsk + `"]`), "4:108: target.t.secret[1]: " +
			"is the same secret as one before it\n  hint: leave one"},
		{secret(`3`), "4:1: target.t.secret: must be a list of strings, not an integer" +
			"\n  hint: write one secret in quotes, or a list of up to 8"},
	}
}

func emailCases() [][2]string {
	const to = "\n  hint: write who shall hear of a defect: [\"oncall@example.com\"]"
	const smtp = "\n  hint: write \"host:587\" for starttls, \"host:465\" for tls, without a scheme"
	const mail = "\n  hint: write \"name@host\" or \"Name <name@host>\""
	email := func(lines string) string { return "[alert.email]\n" + lines }
	return [][2]string{
		{email(`smtp = "h:25"`), "1:8: alert.email.to: cannot be empty when smtp is set" + to},
		{email("to = []\nsmtp = \"h:25\""),
			"2:1: alert.email.to: cannot be empty when smtp is set" + to},
		{email(`smtp = "h"`), "2:1: alert.email.smtp: is not host:port" + smtp},
		{email(`smtp = "smtp://h:25"`), "2:1: alert.email.smtp: is not host:port" + smtp},
		{email(`smtp = "h:0"`), "2:1: alert.email.smtp: has no port from 1 to 65535" + smtp},
		{email(`tls = "ssl"`), "2:1: alert.email.tls: " +
			"\"ssl\" is not one of \"starttls\", \"tls\", \"none\""},
		{email(`from = "x"`), "2:1: alert.email.from: \"x\" is not a mail address" + mail},
		{email(`to = ["a@b", "c"]`), "2:14: alert.email.to[1]: \"c\" is not a mail address" + mail},
		{email(`username = "u"`), "2:1: alert.email.username: is set, but password is empty" +
			"\n  hint: set password, such as \"env:SMTP_PASSWORD\", or remove both"},
		{email(`password = "p"`), "2:1: alert.email.password: is set, but username is empty" +
			"\n  hint: set username, or remove both"},
		{email(`username = "a\nb"`), "2:1: alert.email.username: " +
			"holds a control character or is not UTF-8"},
	}
}

func targetCases() [][2]string {
	const choose = "\n  hint: choose the events, such as [\"message\", \"templateMessage*\"]; " +
		"[\"*\"] is all"
	const where = "\n  hint: write url = \"https://host/path\": where the events go"
	const name = ": a target's name is 1 to 64 letters, digits, _ and -"
	const codes = "must be a status code from 200 to 599, or \"2xx\" to \"5xx\"" +
		"\n  hint: write [200], [\"2xx\"] or [200, 204]"
	const interim = "can never be met: 1xx answers are interim, the outcome is the answer after " +
		"them\n  hint: write [200], [\"2xx\"] or [200, 204]"
	named := func(n string) string {
		return "[target." + n + "]\nurl = \"http://x\"\nevents = [\"*\"]"
	}
	return [][2]string{
		{named("A_b-9"), ""}, {named(strings.Repeat("x", 64)), ""},
		{named(strings.Repeat("x", 65)), "1:9: target." + strings.Repeat("x", 65) + name},
		{"target = {" + many(1001, "t%d = {}") + "}",
			"1:1: target: has 1001 targets, the most is 1000"},
		{named(`"a.b"`), "1:9: target.a…" + name},
		{named(`""`), "1:9: target." + name},
		{"[target.t]", "1:9: target.t.events: is missing" + choose +
			"\n1:9: target.t.url: is missing" + where},
		{"[target.t]\nurl = \"http://x\"\nevents = []", "3:1: target.t.events: cannot be empty" +
			choose},
		{"[target.t]\nurl = \"http://x\"\nevents = \"*\"",
			"3:1: target.t.events: must be a list of strings, not a string" + choose},
		{"[target.t]\nurl = \"http://x\"\nevents = [\"a\", \"\"]",
			"3:16: target.t.events[1]: a pattern cannot be empty\n  hint: [\"*\"] is all"},
		{"[target.t]\nurl = \"http://x\"\nevents = [\"a\\n\"]", "3:11: target.t.events[0]: " +
			"a pattern is 1 to 256 bytes without control characters\n  hint: no type could match it"},
		{target(`status = "defective"`), "4:1: target.t.status: " +
			"\"defective\" is not one of \"enabled\", \"paused\", \"disabled\""},
		{target(`status = "enable"`), "4:1: target.t.status: \"enable\" is not one of " +
			"\"enabled\", \"paused\", \"disabled\"\n  hint: did you mean \"enabled\"?"},
		{target(`order = "some"`), "4:1: target.t.order: \"some\" is no order\n  hint: write \"none\", " +
			"\"all\" or \"by \" and where the key is in the payload, such as \"by .waId\""},
		{target(`order = "by .a["`), "4:1: target.t.order: line 1, column 4: the program ends too early"},
		{target("order = \"all\"\nconcurrency = 2"), "5:1: target.t.concurrency: can never be met: " +
			"order = \"all\" makes one attempt at a time\n  hint: remove it"},
		{target(`method = "put"`), "4:1: target.t.method: \"put\" is not one of \"POST\", \"PUT\", " +
			"\"PATCH\"\n  hint: did you mean \"PUT\"?"},
		{target(`method = "PUTT"`), "4:1: target.t.method: \"PUTT\" is not one of \"POST\", \"PUT\", " +
			"\"PATCH\"\n  hint: did you mean \"PUT\"?"},
		{target(`success = []`), "4:1: target.t.success: cannot be empty" +
			"\n  hint: write [200], [\"2xx\"] or [200, 204]"},
		{target(`success = 200`), "4:1: target.t.success: must be a list of status codes, not an " +
			"integer\n  hint: write [200], [\"2xx\"] or [200, 204]"},
		{target(`success = [200, 599, "5xx"]`), ""},
		{target(`success = ["1xx", 101, 200]`), "4:12: target.t.success[0]: " + interim +
			"\n4:19: target.t.success[1]: " + interim},
		{target(`success = [99, 200, 600, "6xx", "2XX", "200", true]`),
			"4:12: target.t.success[0]: " + codes + "\n4:21: target.t.success[2]: " + codes +
				"\n4:26: target.t.success[3]: " + codes + "\n4:33: target.t.success[4]: " + codes +
				"\n4:40: target.t.success[5]: " + codes + "\n4:47: target.t.success[6]: " + codes},
	}
}

// listCases are about lists of addresses, and about the bounds of lists.
func listCases() [][2]string {
	const batched = "\n  hint: write batch = { format = \"cloudevents\" }, or \"ndjson\""
	const tells = "is \"auto\", but the url is http://: only TLS tells what a target speaks\n" +
		"  hint: write http = \"2\" if the target speaks HTTP/2 without TLS, or \"1.1\""
	const cidr = "\n  hint: write \"10.0.0.0/8\", \"fd00::/8\" or a single address"
	allow := func(list string) string { return target("allow_addresses = " + list) }
	return [][2]string{
		{allow(`["10.0.0.0/8", "169.254.169.254", "fd00::/8", "::ffff:10.0.0.1"]`), ""},
		{target(`batch = {}`), ""},
		{target(`batch = { format = "ndjson" }`), ""},
		{target("batch = { format = \"ndjson\" }\norder = \"by .k\""), "4:1: target.t.batch: cannot go with " +
			"order = \"by .k\": the deliveries of a batch are made at once\n  hint: leave one of the two"},
		{target("batch = { format = \"ndjson\" }\norder = \"none\""), ""},
		{target(`batch = true`), "4:1: target.t.batch: must be a table, not a boolean" + batched},
		{target(`batch = { max_events = 5 }`), "4:1: target.t.batch.format: is missing" + batched},
		{target(`batch = { format = "json", max_events = 0, max_wait = "1h", size = 1 }`),
			"4:11: target.t.batch.format: \"json\" is not one of \"cloudevents\", \"ndjson\"\n" +
				"  hint: did you mean \"ndjson\"?\n" +
				"4:28: target.t.batch.max_events: must be from 1 to 10000, but is 0\n" +
				"  hint: events of one request; a relay takes up to 10,000\n" +
				"4:44: target.t.batch.max_wait: must be from 1ms to 10s, or 0s, but is 1h\n" +
				"  hint: so long the first event of a request waits for others; 0s: take what is there\n" +
				"4:61: target.t.batch.size: unknown key\n  hint: known here: max_events, max_wait, format"},
		{target(`http = "2"`), ""},
		{target(`http = "auto"`), ""},
		{target("http = 2"), "4:1: target.t.http: must be a string, not an integer\n" +
			"  hint: strings stand in quotes"},
		{target(`http = "1.0"`), "4:1: target.t.http: \"1.0\" is not one of \"1.1\", \"2\", \"auto\"" +
			"\n  hint: did you mean \"1.1\"?"},
		{strings.Replace(target(`http = "auto"`), "https", "http", 1), "4:1: target.t.http: " + tells},
		{strings.Replace(target(`http = "2"`), "https", "http", 1), ""},
		{allow(`["x"]`), "4:20: target.t.allow_addresses[0]: \"x\" is not a CIDR" + cidr},
		{allow(`["fe80::1%eth0"]`),
			"4:20: target.t.allow_addresses[0]: \"fe80::1%eth0\" is not a CIDR" + cidr},
		{allow(`["10.0.0.1/8"]`), "4:20: target.t.allow_addresses[0]: " +
			"\"10.0.0.1/8\" has bits set after the /8\n  hint: write \"10.0.0.0/8\""},
		{allow(`["::ffff:10.0.0.0/104"]`), "4:20: target.t.allow_addresses[0]: " +
			"\"::ffff:10.0.0.0/104\" is an IPv4 prefix in IPv6 clothes\n  hint: write it as IPv4"},
		{"[session]\nkey_fields = [" + strings.Repeat(`"a",`, 17) + "]",
			"2:1: session.key_fields: has 17 items, the most is 16" +
				"\n  hint: write [\"conversationId\", \"waId\"]"},
		{"[session]\nkey_fields = [\"a\", \"\"]", "2:20: session.key_fields[1]: " +
			"a field name is 1 to 256 bytes without control characters"},
		{"[event]\ntype_field = \"\"", ""},
		{"[event]\ntype_field = \"a..b\"", "2:1: event.type_field: \"a..b\" is not field names " +
			"joined by dots\n  hint: write \"eventType\" or \"data.type\""},
		{"[spool]\ndir = \"\"", "2:1: spool.dir: is not a directory" +
			"\n  hint: write \"./hookspool-data\" or an absolute path"},
	}
}

func urlCases() [][2]string {
	at := func(u string) string { return "[target.t]\nevents = [\"*\"]\nurl = \"" + u + "\"" }
	const absolute = "3:1: target.t.url: is not an absolute http:// or https:// URL with a host" +
		"\n  hint: write \"https://host/path\""
	const port = "3:1: target.t.url: has no port from 1 to 65535 after the colon" +
		"\n  hint: write \"https://host/path\""
	const broken = "3:1: target.t.url: is not a URL\n  hint: a port is a number, and special " +
		"characters in user-info are written as %XX"
	return [][2]string{
		{at("http://[::1]:65535/a?b=c"), ""}, {at("HTTPS://u:p@a_b"), ""},
		{at(""), "3:1: target.t.url: cannot be empty\n  hint: write \"https://host/path\""},
		{at("/hook"), absolute}, {at("host/hook"), absolute}, {at("ftp://host"), absolute},
		{at("http:host"), absolute}, {at("http:///x"), absolute}, {at("http://:80/"), absolute},
		{at("host:80"), absolute},
		{at("http://h:65536"), port}, {at("http://h:0"), port}, {at("http://h:"), port},
		{at("http://h:x"), broken}, {at("http://h/%zz"), broken}, {at("http://[::1"), broken},
		{at("http://h/a b"), "3:1: target.t.url: holds a space or a control character" +
			"\n  hint: write %20 for a space"},
		{at("http://h/a#b"), "3:1: target.t.url: has a fragment, which is never sent" +
			"\n  hint: remove # and what follows, or write %23"},
		{at("http://h/a#"), "3:1: target.t.url: has a fragment, which is never sent" +
			"\n  hint: remove # and what follows, or write %23"},
		{at("http://h/" + strings.Repeat("x", urlBytesMax)),
			"3:1: target.t.url: is longer than 8192 bytes"},
	}
}

func headerCases() [][2]string {
	with := func(pairs string) string { return target("headers = {" + pairs + "}") }
	own := func(name, want string) [2]string {
		return [2]string{with(name + `="x"`), "4:12: target.t.headers." + name + ": " + want}
	}
	const sent = "is set by hookspool\n  hint: remove it"
	const hop = "belongs to the connection and cannot be set\n  hint: remove it"
	const bad = "is not the name of a header" +
		"\n  hint: 1 to 256 letters, digits and -; the value stands after the ="
	return [][2]string{
		{with(`Authorization = "Basic x", X-Y = "", "x.y!" = "ü"`), ""},
		own("Host", "cannot be set\n  hint: the host comes from the url"),
		own("WebHook-Foo",
			"headers that begin with webhook- are hookspool's own\n  hint: use another name"),
		own("Content-Type", sent), own("content-length", sent), own("User-Agent", sent),
		own("traceparent", sent), own("tracestate", sent),
		own("Connection", hop), own("Transfer-Encoding", hop), own("TE", hop), own("Expect", hop),
		own("Keep-Alive", hop), own("Trailer", hop), own("Upgrade", hop),
		{with(`"" = "x"`), "4:12: target.t.headers.: " + bad},
		{with(`"X Y" = "x"`), "4:12: target.t.headers.X…: " + bad},
		{with(`X-A = "1", x-a = "2"`), "4:23: target.t.headers.x-a: " +
			"stands in the table twice: case makes no difference\n  hint: leave one"},
		{with(many(64, "h%d = ''")), ""},
		{with(many(65, "h%d = ''")), "4:1: target.t.headers: has 65 headers, the most is 64"},
		{with(`A = 1`), "4:12: target.t.headers.A: must be a string, not an integer" +
			"\n  hint: in quotes; \"env:NAME\" and \"file:/path\" are read"},
		{with(`A = "a\nb"`), "4:12: target.t.headers.A: " +
			"the value holds a control character, such as a newline or a tab"},
		{with(`A = " a"`), "4:12: target.t.headers.A: " +
			"the value begins or ends with a space, which would be lost on the way"},
		{with(`A = "` + strings.Repeat("x", 8193) + `"`), "4:12: target.t.headers.A: " +
			"the value is longer than 8192 bytes"},
		{target(`headers = "A: b"`), "4:1: target.t.headers: must be a table, not a string" +
			"\n  hint: write headers = { X-Name = \"value\" }"},
		{target("[target.t.headers]\nHost = \"x\""), "5:1: target.t.headers.Host: cannot be set" +
			"\n  hint: the host comes from the url"},
	}
}

func combinationCases() [][2]string {
	plain := func(lines string) string {
		return "[target.t]\nurl = \"http://x\"\nevents = [\"*\"]\n" + lines
	}
	const twice = "\n  hint: delivered events go by files, not one by one; write "
	const http = "has no meaning for an http:// url\n  hint: write https:// in the url, or remove it"
	const working = "\n  hint: paths are relative to the working directory"
	const both = "\n  hint: mutual TLS needs both"
	return [][2]string{
		{"session.enabled = false\n" + target(`session = "active"`), "5:1: target.t.session: " +
			"is \"active\", but session.enabled is false: no event would pass" +
			"\n  hint: write session = \"any\", or enable sessions"},
		{"session.enabled = 0\n" + target(`session = "active"`), "1:9: session.enabled: " +
			"must be true or false, not an integer\n  hint: without quotes"},
		{"[session]\nkey_fields = []", "2:1: session.key_fields: cannot be empty while sessions " +
			"are enabled\n  hint: no event would have a conversation; or write enabled = false"},
		{"[session]\nkey_fields = []\nenabled = false", ""},
		{"[session]\nuser_events = [\"b\", \"b\"]\nbusiness_events = [\"b\"]",
			"2:16: session.user_events[0]: \"b\" is among business_events too" +
				"\n  hint: an event is the user's or the business's" +
				"\n2:21: session.user_events[1]: \"b\" stands in the list twice\n  hint: leave one"},
		{"[session]\nuser_events = [\"a\", \"b\"]\nbusiness_events = [\"b\"]",
			"2:21: session.user_events[1]: \"b\" is among business_events too" +
				"\n  hint: an event is the user's or the business's"},
		{"[server]\nmax_body_size = \"1MB\"\n[spool]\nmax_size = \"4MiB\"", "4:1: spool.max_size: " +
			"4MiB is less than 8 times server.max_body_size, which is 1MB in line 2" + twice +
			"\"8MB\" or more, or take smaller events"},
		{"[server]\nmax_body_size = \"600KiB\"\n[spool]\nmax_size = \"4MiB\"", "4:1: " +
			"spool.max_size: 4MiB is less than 8 times server.max_body_size, which is 600KiB in line 2" +
			twice + "\"4800KiB\" or more, or take smaller events"},
		{"[spool]\nmax_size = \"4MiB\"", ""},
		{"[server]\nmax_body_size = \"2MB\"\n[spool]\nmax_size = \"4MiB\"",
			"2:1: server.max_body_size: must be from 1B to 1MB, but is 2MB\n  hint: an " +
				"event must fit into one spool record, which is below 1MiB with its headers"},
		{plain(`ca_file = "/not.pem"`), "4:1: target.t.ca_file: " + http},
		{plain("client_cert = \"a\"\nclient_key = \"b\""), "4:1: target.t.client_cert: " + http +
			"\n5:1: target.t.client_key: " + http},
		{target(`ca_file = "a\tb"`), "4:1: target.t.ca_file: holds a control character"},
		{target(`ca_file = "/gone"`),
			"4:1: target.t.ca_file: cannot read file \"/gone\": file does not exist" + working},
		{target(`ca_file = "/not.pem"`), "4:1: target.t.ca_file: no certificate in file " +
			"\"/not.pem\"\n  hint: it must be PEM"},
		{target(`ca_file = "/huge.pem"`), "4:1: target.t.ca_file: file \"/huge.pem\" is larger than " +
			"1MiB\n  hint: it must be PEM"},
		{target(`client_cert = "/not.pem"`),
			"4:1: target.t.client_cert: is set, but client_key is empty" + both},
		{target(`client_key = "/not.pem"`),
			"4:1: target.t.client_key: is set, but client_cert is empty" + both},
		{target("client_key = \"/not.pem\"\nclient_cert = \"/not.pem\""),
			"5:1: target.t.client_cert: cannot use it with client_key: tls: failed to find any PEM " +
				"data in certificate input" +
				"\n  hint: both must be PEM, and the key must be that of the certificate"},
	}
}
