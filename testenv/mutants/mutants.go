package main

import "slices"

// mutant is one way to break hookspool and the tests that must notice.
type mutant struct {
	name     string
	file     string
	from, to string
	pkg      string
	tests    string
}

func mutants() []mutant {
	return slices.Concat(spoolMutants(), valueMutants(), frameMutants(), diskMutants(),
		relayMutants())
}

func spoolMutants() []mutant {
	return []mutant{{
		name: "no sync", file: "spool/badger/options.go", from: "o.SyncWrites = true",
		to: "o.SyncWrites = false", pkg: "testenv", tests: "TestFaultPowerCuts",
	}, {
		name: "answer early", file: "spool/commit.go",
		from: "	if err := g.commit(); err != nil {\n		answer(ops, s.fail(err))",
		to: "	answer(ops, nil)\n	ops = nil\n" +
			"	if err := g.commit(); err != nil {\n		answer(ops, s.fail(err))",
		pkg: "spool", tests: "TestFaultAtEveryCall",
	}, {
		name: "carry on after an error", file: "spool/commit.go",
		from: "answer(ops, s.fail(err))", to: "answer(ops, err)",
		pkg: "spool", tests: "TestFaultAtEveryCall",
	}, {
		name: "keep a reused buffer", file: "spool/record/event.go",
		from: "func (p *Parts) LayOut(lanes int) (rec []byte, sum uint32) {\n",
		to: "var reused = make([]byte, 0, 1<<20)\n\n" +
			"func (p *Parts) LayOut(lanes int) (rec []byte, sum uint32) {\n" +
			"	rec, sum = p.layOutAgain(lanes)\n	return append(reused[:0], rec...), sum\n}\n\n" +
			"func (p *Parts) layOutAgain(lanes int) (rec []byte, sum uint32) {\n",
		pkg: "testenv", tests: "TestP6",
	}, {
		name: "believe any record", file: "spool/record/event.go",
		from: "	sum := crc32.Checksum(rec[e.idEnd:e.payloadEnd], Castagnoli())",
		to: "	if len(rec) > 0 {\n		return nil\n	}\n" +
			"	sum := crc32.Checksum(rec[e.idEnd:e.payloadEnd], Castagnoli())",
		pkg: "spool", tests: ".",
	}, {
		name: "believe any loss", file: "spool/recount.go",
		from: "if lost := s.hw.Last() - min(head, s.hw.Last()); lost > 0 {",
		to:   "if lost := s.hw.Last() - min(head, s.hw.Last()); lost > 0 && s.AcceptLoss {",
		pkg:  "spool", tests: "TestHighWater",
	}, {
		name: "half a batch", file: "spool/load.go",
		from: "		if e == nil || e.BatchEnd <= max(seq, s.hw.Last()) {",
		to:   "		if e == nil || e.BatchEnd <= max(seq, s.hw.Last()) || true {",
		pkg:  "spool", tests: "TestFaultAtEveryCall",
	}, {
		name: "stand in others' way", file: "spool/lanes.go",
		from: "		a.lane.way.drop()\n", to: "",
		pkg: "spool", tests: "TestFeedStandstill",
	}, {
		name: "position passes a failure", file: "spool/change.go",
		from: "	case st.Verdict == Retry:\n		g.put(key, st.exception().Encode(), 0)",
		to: "	case st.Verdict == Retry && !st.Fresh:\n" +
			"		g.put(key, st.exception().Encode(), 0)",
		pkg: "spool", tests: "TestModel|TestJourney|TestFaultAtEveryCall",
	}, {
		name: "forget ids", file: "spool/append.go",
		from: "	g.ids[d.ID] = r\n", to: "	g.ids[d.ID] = r\n	if r != nil {\n		return\n	}\n",
		pkg: "testenv", tests: "TestP1Dedupe",
	}, {
		name: "sweep what is held", file: "spool/sweep.go",
		from: "		if _, need := held[seq]; !need {", to: "		if _, need := held[seq]; !need || true {",
		pkg: "spool", tests: "TestSweep|TestModel",
	}}
}

func valueMutants() []mutant {
	return []mutant{{
		name: "value log left to Badger", file: "spool/badger/precheck.go",
		from: "if err := f.repairValueLogs(o, files, found); err != nil {",
		to:   "if err := error(nil); err != nil {",
		pkg:  "spool/badger", tests: "TestValueLog",
	}, {
		name: "no sync of a value log seen", file: "spool/badger/txn.go",
		from: "err == nil && failed != unsynced", to: "false && failed != unsynced",
		pkg: "spool/badger", tests: "TestValuesUnsynced",
	}, {
		name: "a value log is collected unread", file: "spool/badger/reclaim.go",
		from: "if err := s.checkValues(between); err != nil {", to: "if err := error(nil); err != nil {",
		pkg: "spool/badger", tests: "TestCollectDamaged",
	}, {
		name: "packed beside deletions", file: "spool/badger/pack.go",
		from: "p.loose.trims.Load() != trims || ", to: "trims == 0 && false || ",
		pkg: "spool/badger", tests: "TestPackBesideDeletions",
	}, {
		name: "lost counts stay lost", file: "spool/badger/precheck.go",
		from: "dead.Note(o)", to: `dead.Note(badger.Options{Dir: o.Dir + "x"})`,
		pkg: "spool/badger", tests: "TestLostCount",
	}, {
		name: "the log does not say what was whole", file: "spool/badger/repairvalues.go",
		from: "			l.known.End = l.ends[number]", to: "			l.known.Txn = 0",
		pkg: "spool/badger", tests: "TestValueLogFlippedByte",
	}, {
		name: "a head is believed", file: "spool/badger/mend/valuelay.go",
		from: "v.budget > 0 && v.fits(at, n, head)", to: "v.budget > 0",
		pkg: "spool/badger/mend", tests: "TestValues",
	}}
}

func frameMutants() []mutant {
	return []mutant{{
		name: "leave what a damaged log led to", file: "spool/badger/precheck.go",
		from: "f.found.first == 0 || !f.Recounting()", to: "f.found.first >= 0 || !f.Recounting()",
		pkg: "spool", tests: "TestRepairLostPointer",
	}, {
		name: "show a frame where it is not", file: "spool/badger/frame/walker.go",
		from: "bool { return p.Seq <= before })", to: "bool { return p.Seq < 0*before })",
		pkg: "spool/badger/frame", tests: "TestWalkKeepsOrder",
	}, {
		name: "the rest of a frame is dropped", file: "spool/badger/txn.go",
		from: "errors.Join(err, inRuns(stay, ", to: "errors.Join(err, inRuns(stay[:0], ",
		pkg: "spool/badger", tests: "TestFrame",
	}, {
		name: "a frame goes with what is held", file: "spool/badger/txn.go",
		from: "uint64(n) == last-known {", to: "last > known {",
		pkg: "spool", tests: "TestSweepHeldFrames",
	}, {
		name: "a frame goes one event early", file: "spool/badger/txn.go",
		from: "uint64(n) == last-known {", to: "uint64(n) >= last-known-1 {",
		pkg: "spool/badger", tests: "TestFramesAreAPlainMap",
	}, {
		name: "what stays keeps a name", file: "spool/badger/txn.go",
		from: "		_, err := t.writeEvents(run, nil)\n		return err\n	}))",
		to: "		run[len(run)-1].seq = last\n" +
			"		_, err := t.writeEvents(run, nil)\n		return err\n	}))",
		pkg: "spool", tests: "TestUnfinishedBatchOfFrames",
	}, {
		name: "frames are in no order", file: "spool/record/frame.go",
		from: "seq <= after || seq > last {", to: "seq > last {",
		pkg: "spool/record", tests: "TestFrame|TestSplitFrame",
	}, {
		name: "nothing is salvaged", file: "spool/badger/frame/doc.go",
		from: "	if !ok || s == nil {", to: "	if !ok || s == nil || at.Len > 0 {",
		pkg: "spool/badger", tests: "TestFrameSalvagedInUse",
	}, {
		name: "a deleted key hides a frame", file: "spool/badger/frame/walker.go",
		from: "		if !w.gone { // or", to: "		if true { // or",
		pkg: "spool/badger", tests: "TestFramesAreAPlainMap",
	}, {
		name: "a late event hides a frame", file: "spool/badger/tree.go",
		from: "	if seq <= l.last {", to: "	if seq < l.last && seq == 0 {",
		pkg: "spool/badger", tests: "TestLoaderMakesFrames",
	}, {
		name: "damage is put into a frame", file: "spool/badger/txn.go",
		from: "record.IsWhole(all[n].rec, all[n].seq) {",
		to:   "(true || record.IsWhole(all[n].rec, all[n].seq)) {",
		pkg:  "spool/badger", tests: "TestFrame|TestLoader",
	}, {
		name: "older versions are read", file: "spool/badger/frame/walker.go",
		from: "			if !w.gone && !(w.o.Reverse && w.o.Gone) {", to: "			if !w.gone {",
		pkg: "spool/badger", tests: "TestFrameOlderVersionIsNotRead",
	}, {
		name: "set aside at no cost", file: "spool/change.go",
		from: "len(u.raw), u.bytes)", to: "len(u.raw))",
		pkg: "spool", tests: "TestSetAsideCountsItsFrame",
	}, {
		name: "the sweep divides a frame", file: "spool/portion.go",
		from: "			p.seqs = p.seqs[:begin]\n			return false, nil",
		to: "			p.swept = seq - 1\n			p.frames = append(p.frames, f)\n" +
			"			return begin < 0, nil",
		pkg: "spool", tests: "TestSweepEndsInAFrame",
	}, {
		name: "no end to what is written again", file: "spool/portion.go",
		from: "p.rewritten+f.bytes > sweepRewritten {", to: "p.rewritten+f.bytes > sweepRewritten<<9 {",
		pkg: "spool", tests: "TestSweepHeldFrames",
	}}
}

func diskMutants() []mutant {
	return []mutant{{
		name: "no free-space check", file: "spool/badger/usage.go",
		from: "- since; free < need {", to: "- since; free < need-1<<60 {",
		pkg: "testenv", tests: "TestFaultDisk",
	}, {
		name: "no gate", file: "spool/gate.go",
		from: "		err := s.engine.Fit(g)\n",
		to: "		err := s.engine.Fit(g)\n" +
			"		err = nil\n",
		pkg: "testenv", tests: "TestFaultDiskFilledToTheLastByte",
	}, {
		name: "no blocks ahead", file: "spool/badger/room.go",
		from: "	err := r.extend(to)\n", to: "	err := error(nil)\n",
		pkg: "testenv", tests: "TestFaultDiskFilledToTheLastByte",
	}, {
		name: "no size budget", file: "spool/badger/usage.go",
		from: "lim.MaxBytes > 0 && bytes+since > lim.MaxBytes {",
		to:   "lim.MaxBytes > 0 && bytes+since > lim.MaxBytes+1<<60 {",
		pkg:  "testenv", tests: "TestP2|TestP7|TestFaultDisk",
	}}
}

func relayMutants() []mutant {
	return []mutant{{
		name: "believe half an answer", file: "relay/attempt/head.go",
		from: "		case err != nil:\n			return err\n		case last:",
		to:   "		case err != nil && s.head.status == 0:\n			return err\n		case last, err != nil:",
		pkg:  "relay/attempt", tests: ".",
	}, {
		name: "take what nobody asked for", file: "relay/attempt/conn.go",
		from: "	if pc.noisy && pc.reused {", to: "	if false {",
		pkg: "relay/attempt", tests: "TestUnasked|TestTLSIdle",
	}, {
		name: "go on with a torn record", file: "relay/attempt/conn.go",
		from: "pc.tls != nil && pc.records.torn() && !pc.absorb()", to: "false",
		pkg: "relay/attempt", tests: "TestTLSTornAnswer",
	}, {
		name: "obey an earlier deadline", file: "relay/attempt/socket.go",
		from: "	if !s.armed.Before(s.until) || ", to: "	if true || ",
		pkg: "relay/attempt", tests: "TestDeadlineOfEarlierRequest",
	}, {
		name: "believe any status", file: "relay/attempt/transport.go",
		from: "	if x.client.success(status) {", to: "	if status < 400 {",
		pkg: "testenv", tests: "TestP5",
	}, {
		name: "one retry more", file: "relay/lane.go",
		from: "	case t.attempts >= l.r.setup", to: "	case t.attempts > l.r.setup",
		pkg: "testenv", tests: "TestP5Exactly145Requests",
	}, {
		name: "defective at the 100th", file: "relay/warn.go",
		from: "	case failed > limit:", to: "	case failed >= limit:",
		pkg: "testenv", tests: "TestP5The101stFailedJob",
	}, {
		name: "charge what was not tried", file: "relay/lane.go",
		from: " || t.job != nil && t.job.over() {", to: " {",
		pkg: "testenv", tests: "TestP5StopJobAfter",
	}, {
		name: "wait for the dead", file: "relay/pulse/pulse.go",
		from: "since > movesFor", to: "since < 0",
		pkg: "relay", tests: "TestWaiting",
	}, {
		name: "wait for nobody", file: "relay/relay.go",
		from: "w.Quick, w.AnyQuick = max(w.Quick, n), true", to: "w.Slow = max(w.Slow, n)",
		pkg: "relay", tests: "TestWaiting",
	}, {
		name: "lose what is left of a portion", file: "relay/lane.go",
		from: "l.portion.drop(); left {", to: "l.portion.drop(); left && seq == 0 {",
		pkg: "relay", tests: "TestPortion",
	}, {
		name: "any origin", file: "relay/admin/guard.go",
		from: "	return err != nil || u.Host == \"\" ||", to: "	return err != nil && u.Host == \"\" &&",
		pkg: "relay/admin", tests: ".",
	}}
}
