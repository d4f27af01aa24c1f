package config

// programCases are about jq, with the place inside of the string, however it is written.
func programCases() [][2]string {
	const hint = "\n  hint: hookspool help filtering has programs to begin with"
	const no = "target.t.where: is no jq program: "
	const nosuch = no + "function not defined: nosuch/0" + hint
	return [][2]string{
		{target(`where = '.a == "x" and $session != null'`), ""},
		{target("where = \"\"\ntransform = \"\""), ""},
		{target("transform = \"\"\"\n{\n  id: .a, # why\n  b: .b }\"\"\""), ""},
		{target(`where = ".a = = 1"`), "4:15: " + no + `unexpected token "="` + hint},
		{target(`where   =   '.a | nosuch'`), "4:19: " + nosuch},
		{target("where = '''\n.[\"ä\"] |\n  \"ä\" | nosuch'''"), "6:9: " + nosuch},
		{target("where = '''.a |\r\n nosuch'''"), "5:2: " + nosuch},
		{target(`where = "\".ä\" | \u00e4"`), "4:19: " + no + `unexpected token "ä"` + hint},
		{target("where = \"\"\"\n.a \\\n   | \\\"x\\\" | nosuch\"\"\""), "6:14: " + nosuch},
		{target(`transform = "env"`), "4:14: target.t.transform: is no jq program: env is not " +
			"here: a program sees one event, and not the environment" + hint},
		{target(`where = "now > 1"`), "4:10: " + no + "now is not here: a program sees one " +
			"event, and not the clock" + hint},
		{target(`where = ".a |"`), "4:14: " + no + "the program ends too early" + hint},
		{target(`where = " "`), "4:1: target.t.where: is blank\n  hint: write \"\" for none"},
		{target(`where = true`), "4:1: target.t.where: must be a string, not a boolean" +
			"\n  hint: strings stand in quotes"},
		{target(`where = "file:/x.jq"`), "4:1: target.t.where: cannot come from env: or file:" +
			"\n  hint: they work for tokens, keys, passwords, SMTP settings, URLs, secrets and " +
			"headers"},
	}
}
