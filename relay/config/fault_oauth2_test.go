package config

import "testing"

func oauth2Cases() [][2]string {
	const all = "\n  hint: token_url, client_id and client_secret are needed, all three or none"
	const one = "\n  hint: a request has one Authorization: leave one of them"
	const scope = "a scope is 1 to 1024 characters without spaces, quotes and \\" +
		"\n  hint: each scope is an item of the list"
	const whole = `token_url = "https://a/t", client_id = "c", client_secret = "s"`
	with := func(table string) string { return target("oauth2 = { " + table + " }") }
	return [][2]string{
		{with(whole), ""}, {with(whole + `, scopes = ["a", "b:c"], params = { resource = "x" }`), ""},
		{with(`token_url = "", client_id = "", client_secret = "", scopes = [], params = {}`), ""},
		{with(`token_url = "https://a/t"`),
			"4:1: target.t.oauth2.client_id: is empty, but token_url is set" + all +
				"\n4:1: target.t.oauth2.client_secret: is empty, but token_url is set" + all},
		{with(`client_id = "c", client_secret = "s"`),
			"4:1: target.t.oauth2.token_url: is empty, but client_id is set" + all},
		{with(`scopes = ["a b", ""]`), "4:22: target.t.oauth2.scopes[0]: " + scope +
			"\n4:29: target.t.oauth2.scopes[1]: " + scope},
		{with(whole + `, params = { grant_type = "x", scope = "y", client_id = "z" }`),
			"4:88: target.t.oauth2.params.grant_type: is client_credentials and cannot be set" +
				"\n  hint: remove it\n4:106: target.t.oauth2.params.scope: is made of scopes" +
				"\n  hint: write scopes = [\"…\"]\n4:119: target.t.oauth2.params.client_id: is a key of " +
				"its own\n  hint: write it above: client_id = \"…\""},
		{with(whole + `, params = "x"`), "4:77: target.t.oauth2.params: must be a table, not a string" +
			"\n  hint: write params = { audience = \"https://crm.example.com\" }"},
		{with(`token_url = "https://u:p@a/t", client_id = "c", client_secret = "s"`),
			"4:12: target.t.oauth2.token_url: has user-info, which is not sent" +
				"\n  hint: write it as client_id and client_secret"},
		{with(`token_url = "auth.example.com", client_id = "c", client_secret = "s"`),
			"4:12: target.t.oauth2.token_url: is not an absolute http:// or https:// URL with a host" +
				"\n  hint: write \"https://host/path\""},
		{target("headers = { authorization = \"x\" }\noauth2 = { " + whole + " }"),
			"5:1: target.t.oauth2: gives an Authorization, and headers sets one as well" + one},
		{"[target.t]\nurl = \"http://u@h/\"\nevents = [\"*\"]\noauth2 = { " + whole + " }",
			"4:1: target.t.oauth2: gives an Authorization, and the user-info of url does as well" + one},
		{"token_url = \"x\"", "1:1: token_url: unknown key" +
			"\n  hint: token_url belongs in [target.NAME.oauth2]"},
		{with(`token_uri = "x"`), "4:12: target.t.oauth2.token_uri: unknown key" +
			"\n  hint: did you mean \"token_url\"?"},
		{target("oauth2 = \"x\""), "4:1: target.t.oauth2: must be a table, not a string" +
			"\n  hint: write [target.t.oauth2] on a line of its own"},
	}
}

// A token that goes over the wire in clear is worth a warning, but on this machine.
func TestOAuth2Warnings(t *testing.T) {
	f := func(url string, want int) {
		t.Helper()
		c := world{}.mustParse(t, "alert.webhook.url = \"https://h/\"\n[target.t]\nurl = \"https://h/\"\n"+
			"events = [\"*\"]\noauth2 = { token_url = \""+url+"\", client_id = \"c\", client_secret = \"s\" }")
		before := world{}.mustParse(t, "alert.webhook.url = \"https://h/\"\n[target.t]\n"+
			"url = \"https://h/\"\nevents = [\"*\"]")
		if got := len(c.Warnings()) - len(before.Warnings()); got != want {
			t.Errorf("%s: %d warnings, want %d: %q", url, got, want, c.Warnings())
		}
	}
	f("https://auth.example.com/t", 0)
	f("http://auth.example.com/t", 1)
	f("http://127.0.0.1/t", 0)
	f("http://localhost:8080/t", 0)
}
