package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/hookspool/hookspool/spool"
)

// TestSystemAdvice wants every error of the system to be met with what helps against it, at a start,
// at a stop and by the verbs that read a spool, and none with a backup.
func TestSystemAdvice(t *testing.T) {
	t.Parallel()
	f := func(err error, words string) {
		t.Helper()
		err = fmt.Errorf("cannot open spool %q: %w", "/s", &fs.PathError{Op: "open", Path: "/s", Err: err})
		var f *failure
		if !errors.As((&spoolVerb{}).explainSpool(err), &f) {
			t.Fatalf("%v is not explained", err)
		}
		for _, hint := range []string{startAdvice(err), deadAdvice(err), f.hint} {
			if !strings.Contains(hint, words) || strings.Contains(hint, "backup") ||
				strings.Contains(hint, "damaged") {
				t.Errorf("%v: hint %q; want %q", err, hint, words)
			}
		}
	}
	f(spool.ErrNoInodes, "inodes")
	f(fmt.Errorf("%w: %w", spool.ErrNoInodes, syscall.ENOSPC), "df -i")
	f(spool.ErrFull, "make room on the disk")
	f(syscall.ENOSPC, "make room on the disk")
	f(syscall.EDQUOT, "quota")
	f(fmt.Errorf("%w: %w", spool.ErrFull, syscall.EDQUOT), "quota")
	f(syscall.EFBIG, "ulimit -f")
	f(syscall.EMFILE, "LimitNOFILE")
	f(syscall.ENFILE, "fs.file-max")
	f(syscall.ENOMEM, "memory")
	f(syscall.EROFS, "read-only")
	f(syscall.EIO, "look after the disk")
	f(syscall.ESTALE, "mount it again")
	f(syscall.ENODEV, "ext4")
	f(syscall.EOPNOTSUPP, "ext4")
	f(syscall.ENOLCK, "ext4")
	f(syscall.EACCES, "must own spool.dir")
	f(syscall.EPERM, "must own spool.dir")
	if hint := startAdvice(spool.ErrDamaged); !strings.Contains(hint, "backup") {
		t.Errorf("damage: hint %q", hint)
	}
	if hint := systemAdvice(errors.New("its checksum does not fit")); hint != "" {
		t.Errorf("no error of the system: hint %q", hint)
	}
}
