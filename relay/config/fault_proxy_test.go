package config

import (
	"strings"
	"testing"
)

func proxyCases() [][2]string {
	const hint = "\n  hint: write \"http://host:port\", \"http://user:password@host:port\", or \"env\""
	const at = "4:1: target.t.proxy: "
	with := func(u string) string { return target("proxy = \"" + u + "\"") }
	return [][2]string{
		{with(""), ""}, {with("env"), ""}, {with("http://proxy:3128"), ""},
		{with("http://u:p@10.0.0.1:3128/"), ""}, {with("http://[::1]:3128"), ""},
		{"[target.t]\nurl = \"http://x\"\nevents = [\"*\"]\nproxy = \"http://proxy:3128\"\nhttp = \"2\"",
			at + "cannot carry http = \"2\" to an http:// url: what goes through it in clear is HTTP/1.1" +
				"\n  hint: write http = \"1.1\", or an https:// url"},
		{with("http://proxy"), at + "has no port" + hint},
		{with("http://proxy:0"), at + "has no port from 1 to 65535 after the colon" + hint},
		{with("https://proxy:3128"), at + "is not an http:// URL: no other proxy can be used" + hint},
		{with("socks5://proxy:1080"), at + "is not an http:// URL: no other proxy can be used" + hint},
		{with("proxy:3128"), at + "is not an absolute http:// or https:// URL with a host" + hint},
		{with("ENV"), at + "is not an absolute http:// or https:// URL with a host" + hint},
		{with("http://proxy:3128/x"),
			at + "has something after the host and port, which would mean nothing" + hint},
		{with("http://proxy:3128?x"),
			at + "has something after the host and port, which would mean nothing" + hint},
		{target("proxy = 3128"), at + "must be a string, not an integer" +
			"\n  hint: in quotes; \"env:NAME\" and \"file:/path\" are read"},
		{target("headers = { Proxy-Authorization = \"x\" }\nproxy = \"env\""), "5:1: target.t.proxy: " +
			"is set, and headers sets Proxy-Authorization, which goes to the target" +
			"\n  hint: write it as user-info: proxy = \"http://user:password@host:port\""},
	}
}

// What the environment says is read as those read it who use it, and not quoted.
func TestCheckProxyVariable(t *testing.T) {
	for value, sound := range map[string]bool{"": true, "proxy:3128": true, "http://proxy": true,
		"http://u:" + canary + "@proxy:3128/": true, "10.0.0.1:3128": true,
		"https://" + canary + ":1": false, "socks5://u:" + canary + "@h:1": false,
		"http://" + canary + ":port": false, "http://": false, canary + "%zz": false} {
		err := CheckProxyVariable(value)
		if (err == nil) != sound || err != nil && strings.Contains(err.Error(), canary) {
			t.Errorf("%q: %v", value, err)
		}
	}
}
