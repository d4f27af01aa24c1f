package main

import (
	"errors"
	"syscall"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/jetstream"
)

// systemAdvice says what to do about an error of the system below a spool; empty: it is none. A
// process that may not do what it must, a limit, a quota and a disk that fails are told apart,
// because nobody should restore a backup over a spool that is whole.
func systemAdvice(err error) string {
	const whole = "; nothing accepted is lost"
	for _, a := range []struct {
		is   []error
		hint string
	}{
		{[]error{spool.ErrNoInodes}, "the file system of spool.dir has too few free inodes (df -i): " +
			"remove small files from it, or give spool.dir one of its own" + whole},
		{[]error{syscall.EDQUOT}, "the disk quota of the user or project that owns spool.dir is " +
			"used up: raise it, or remove other files" + whole},
		{[]error{spool.ErrFull, syscall.ENOSPC}, "make room on the disk of spool.dir" + whole},
		{[]error{syscall.EFBIG}, "files may not grow as large as the spool's, 64 MiB: raise the limit " +
			"(ulimit -f, LimitFSIZE=)" + whole},
		{[]error{syscall.EMFILE}, "hookspool may not open more files: raise the limit (ulimit -n, " +
			"LimitNOFILE=)" + whole},
		{[]error{syscall.ENFILE}, "this machine can open no more files: end what holds them, or raise " +
			"fs.file-max" + whole},
		{[]error{syscall.ENOMEM}, "there is no memory to map the spool's files: raise the limit " +
			"(ulimit -v, MemoryMax=, vm.max_map_count)" + whole},
		{[]error{syscall.EROFS}, "the file system of spool.dir is read-only; a kernel makes it so " +
			"after an error of the disk (dmesg): mount it for writing" + whole},
		{[]error{syscall.EIO, syscall.ENXIO}, "look after the disk of spool.dir (dmesg): it could " +
			"not be read or written"},
		{[]error{syscall.ESTALE, syscall.ENOTCONN, syscall.ETIMEDOUT}, "the server of the file " +
			"system of spool.dir is away: mount it again; a spool belongs on a local disk"},
		{[]error{syscall.ENODEV, syscall.EOPNOTSUPP, syscall.ENOSYS, syscall.ENOLCK},
			"the file system of spool.dir cannot lock or map files: give spool.dir a local one, such " +
				"as ext4 or xfs"},
		{[]error{syscall.EACCES, syscall.EPERM}, "the user that runs hookspool must own spool.dir " +
			"and may need a port above 1023"},
		{[]error{syscall.ENOTDIR}, "spool.dir names something that is no directory"},
	} {
		for _, is := range a.is {
			if errors.Is(err, is) {
				return a.hint
			}
		}
	}
	return ""
}

// engineAdvice says what to do about who keeps a spool, or is about to; empty: it is not that.
func engineAdvice(err error) string {
	for _, a := range []struct {
		is   error
		hint string
	}{
		{care.ErrEmbedded, "name another spool.dir for the copy of what the servers keep; what is " +
			"owed in this one is moved by hookspool spool export --dir DIRECTORY | hookspool spool " +
			"import -"},
		{care.ErrReplica, "set spool.engine = \"jetstream\" again, or name another spool.dir; what " +
			"the servers keep is moved by hookspool spool export, with the config of before, and spool " +
			"import"},
		{spool.ErrFormat, "run the newer hookspool that wrote it"},
		{spool.ErrOldFormat, "what is owed in it is moved by the hookspool that wrote it: hookspool " +
			"spool export, and spool import with this one"},
		{spool.ErrRestoring, "run hookspool spool restore again: it starts over; to do without the " +
			"backup, remove what is in spool.dir"},
		{jetstream.ErrCredentials, "set in [spool.jetstream] a user that the servers know: " +
			"credentials, or user:password@ in urls"},
		{jetstream.ErrTLS, "set ca_file in [spool.jetstream] to the authority of the servers' " +
			"certificates, and client_cert and client_key if they want them; hosts in urls must be in " +
			"them"},
		{jetstream.ErrPermission, "let the user publish and subscribe to NAME.>, _HOOKSPOOL.NAME.>, " +
			"$JS.> and _INBOX.>, NAME being spool.jetstream.name"},
		{jetstream.ErrNoJetStream, "enable JetStream at the servers (jetstream { store_dir: … }) " +
			"and for the user's account"},
		{jetstream.ErrRoom, "set spool.max_size to what each server has room for, or raise " +
			"max_file_store of the servers, or the limit of the account"},
		{jetstream.ErrVersion, "update the servers; older ones lose acknowledged events"},
		{jetstream.ErrForeign, "name another stream in spool.jetstream.name"},
		{jetstream.ErrUnsafe, "give the servers sync_interval: always and the stream 3 replicas; " +
			"for development set spool.jetstream.accept_unsafe = true"},
		{jetstream.ErrProfile, "edit the stream (nats stream edit), or name another in " +
			"spool.jetstream.name"},
		{jetstream.ErrHole, "hookspool check compares the servers' copies: stop the one that lacks " +
			"messages, while another leads (nats stream cluster step-down), empty its store_dir, and " +
			"start it again; if no server has what is missing, go on without it: hookspool serve --" +
			lossFlag},
		{engine.ErrUnavailable, "are the servers of spool.jetstream.urls running, most of them, and " +
			"reachable from here?"},
	} {
		if errors.Is(err, a.is) {
			return a.hint
		}
	}
	return ""
}
