package care

import "github.com/hookspool/hookspool/spool/volume"

// What tests outside of the package see of it; those that need a spool are outside, because
// package spool imports this one.

const (
	RestoringDir    = restoringDir
	BackupMagic     = backupMagic
	BackupHeadBytes = backupHeadBytes
)

var RestoreInto = restoreInto

// Body is an exported event's payload.
func (x *Exported) Body() []byte { return x.payload() }

// OnDisk restores onto a disk of so many bytes.
func (o *RestoreOptions) OnDisk(bytes int64) {
	o.free = func(string) (int64, error) {
		used, err := volume.BytesOnDisk(o.Dir)
		return bytes - used, err
	}
}
