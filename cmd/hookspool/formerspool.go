package main

import (
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool/care"
)

// formerSpoolDir was the default of spool.dir before it was ./hookspool-data.
const formerSpoolDir = "./spool"

// checkFormerSpool refuses to use the default of spool.dir while a spool is where the default was
// before: an update would begin an empty spool, and what is owed would wait beside it for ever.
// Whoever names a directory, whichever it is, has decided.
func checkFormerSpool(cfg *config.Config) error {
	now := cfg.Spool.Dir
	if !cfg.Spool.DirDefault || cfg.Spool.Shared() || care.Holds(now) || !care.Holds(formerSpoolDir) {
		return nil
	}
	return fail("to go on with it set spool.dir = \""+formerSpoolDir+"\", or move it to "+now+
		" while nothing uses it; to begin an empty one set spool.dir = \""+now+"\"",
		"spool.dir is not set: its default is %q now, and there is a spool in %q, where it was "+
			"before", now, formerSpoolDir)
}
