package care

// What tests outside of the package see of it; those that need a spool are outside, because
// package spool imports this one.

const (
	BackupMagic     = backupMagic
	BackupHeadBytes = backupHeadBytes
	RestoringDir    = restoringDir
)

var RestoreInto = restoreInto

// Body is an exported event's payload.
func (x *Exported) Body() []byte { return x.payload() }
