package main

import "slices"

// mutant is one way to break hookspool and the tests that must notice.
type mutant struct {
	name     string
	file     string
	from, to string
	pkg      string
	tests    string
	// args are flags of the tests, for what they do not try often enough by default.
	args []string
}

func mutants() []mutant {
	return slices.Concat(spoolMutants(), valueMutants(), sharedMutants(), copyMutants(),
		frameMutants(), diskMutants(), lineMutants(), relayMutants(), wayMutants())
}

// wayMutants break the ways to a target: HTTP/2 and batches.
func wayMutants() []mutant {
	return []mutant{{
		name: "try a failed stream again", file: "relay/attempt/http2.go",
		from: "case f.err == errLeft && kept:", to: "case f.err != nil && left < leftMax:",
		pkg: "relay/attempt", tests: "TestHTTP2Once",
	}, {
		name: "give up what was left", file: "relay/attempt/http2.go",
		from: "case f.err == errLeft && kept:", to: "case f == nil:",
		pkg: "relay/attempt", tests: "TestHTTP2Once",
	}, {
		name: "leave a request as often as a target leaves it", file: "relay/attempt/http2.go",
		from: "left >= leftMax)", to: "left < 0)",
		pkg: "relay/attempt", tests: "TestHTTP2LeftByMany",
	}, {
		name: "send before the limits are known", file: "relay/attempt/share.go",
		from: "(k.settled || k.inFlight == 0)", to: "k.inFlight >= 0",
		pkg: "relay/attempt", tests: "TestHTTP2Limits",
	}, {
		name: "keep a silent connection", file: "relay/attempt/http2.go",
		from: "			k.retired.Store(true)\n", to: "",
		pkg: "relay/attempt", tests: "TestHTTP2Ends",
	}, {
		name: "lose what was gathered", file: "relay/batch.go",
		from: "		seq, left = g.batch.parts[0].event.Seq, true", to: "		left = false",
		pkg: "testenv", tests: "TestBatchesHeld",
	}, {
		name: "any failure is in the group", file: "relay/hunt/hunt.go",
		from: "h.failure(seq, at) == h.of.Failure", to: "h.failure(seq, at) != \"\"",
		pkg: "testenv", tests: "TestFailuresChoose",
	}, {
		name: "settle the first alone", file: "relay/batch.go",
		from: "	for _, p := range sent {", to: "	for _, p := range sent[:1] {",
		pkg: "testenv", tests: "TestBatchesFail",
	}, {
		name: "the poison takes its neighbours", file: "relay/batch.go",
		from: "b.MaxEvents>>min(t.attempts, 16)", to: "b.MaxEvents>>min(t.attempts, 0)",
		pkg: "testenv", tests: "TestBatchesFail",
	}, {
		name: "the envelope is the event", file: "relay/envelope/open.go",
		from: "	whole := bytes.HasPrefix(element, []byte(idMember))",
		to:   "	whole := len(element) == 0",
		pkg:  "testenv", tests: "TestBatchChain",
	}}
}

func spoolMutants() []mutant {
	return []mutant{{
		name: "no sync", file: "spool/badger/options.go", from: "o.SyncWrites = true",
		to: "o.SyncWrites = false", pkg: "testenv", tests: "TestFaultPowerCuts",
		// Each cut takes chance's kind; one that flushes everything first loses nothing.
		args: []string{"-cuts", "20"},
	}, {
		name: "answer early", file: "spool/commit.go",
		from: "		err = g.commit()\n", to: "		answer(ops, nil)\n		ops, err = nil, g.commit()\n",
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
		from: "		if e == nil || e.BatchEnd <= max(seq, s.hw.Last()) || s.shared != nil {",
		to:   "		if e == nil || e.BatchEnd <= max(seq, s.hw.Last()) || s != nil {",
		pkg:  "spool", tests: "TestFaultAtEveryCall",
	}, {
		name: "stand in others' way", file: "spool/lanes.go",
		from: "		a.lane.way.drop()\n", to: "",
		pkg: "spool", tests: "TestFeedStandstill",
	}, {
		name: "position passes a failure", file: "spool/change.go",
		from: "	case st.Verdict == Retry:\n		putException(g, l.id, st.Seq, st.exception())",
		to: "	case st.Verdict == Retry && !st.Fresh:\n" +
			"		putException(g, l.id, st.Seq, st.exception())",
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
		from: "return f.repairValueLogs(o, files, found)", to: "return nil",
		pkg: "spool/badger", tests: "TestValueLog",
	}, {
		name: "no sync of a value log seen", file: "spool/badger/txn.go",
		from: "err == nil && failed != unsynced", to: "false && failed != unsynced",
		pkg: "spool/badger", tests: "TestValuesUnsynced",
	}, {
		name: "a value log is collected unread", file: "spool/badger/reclaim.go",
		from: "if err := s.checkValues(between); err != nil {", to: "if err := error(nil); err != nil {",
		pkg: "spool/badger", tests: "TestCollectDamaged",
	}, {
		name: "zeros over values", file: "spool/volume/alloc_linux.go",
		from: "!errors.Is(err, unix.ENXIO)", to: "err != nil && !errors.Is(err, unix.ENXIO)",
		pkg: "spool/badger", tests: "TestSpread",
	}, {
		name: "packed beside deletions", file: "spool/badger/pack.go",
		from: "p.loose.trims.Load() != trims || ", to: "trims == 0 && false || ",
		pkg: "spool/badger", tests: "TestPackBesideDeletions",
	}, {
		name: "lost counts stay lost", file: "spool/badger/reclaim.go",
		from: "dead.Tell(s.DB, s.counted)", to: "int64(len(s.counted))",
		pkg: "spool/badger", tests: "TestLostCount",
	}, {
		name: "a frame of another process is found again", file: "spool/badger/repair.go",
		from: "!cutOff || file == l.values && ", to: "!cutOff || ", pkg: "spool",
		tests: "TestRepairCutStaleFrame",
	}, {
		name: "a stale frame is found again", file: "spool/badger/precheck.go",
		from: "is = is && owes", to: "is = is && (owes || is)", pkg: "spool",
		tests: "TestRepairStaleFrame",
	}, {
		name: "collect what is largest only", file: "spool/badger/reclaim.go",
		from: "c.tell = most - known[c.file] + 1", to: "c.tell = 0 * most", pkg: "spool/badger",
		tests: "TestCollectBesideLarger",
	}, {
		name: "forget what was swept before", file: "spool/badger/reclaim.go",
		from: "s.Reclaimer.Swept.Add(disk.Bytes)", to: "s.Reclaimer.Swept.Add(0)",
		pkg: "spool/badger", tests: "TestReclaimFormer",
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

// sharedMutants break what several relays stand on.
func sharedMutants() []mutant {
	return []mutant{{
		name: "events of others are not heard", file: "spool/shared.go",
		from: "s.fed < newest; {", to: "s.fed < newest && newest == 0; {",
		pkg: "spool/jetstream", tests: "TestFleet",
	}, {
		name: "a draft is planned on what it was planned before", file: "spool/append.go",
		from: "			d.planAgain()\n", to: "			_ = d\n",
		pkg: "spool/jetstream", tests: "TestFleet",
	}, {
		name: "a lane's tail is not counted", file: "spool/shared.go",
		from: "l != nil && seq > l.owedSeq {", to: "l != nil && seq > l.owedSeq+1<<40 {",
		pkg: "spool/jetstream", tests: "TestFleet",
	}, {
		name: "no fence is checked", file: "spool/jetstream/txn.go",
		from: "b.guard(fenced(f.lane), f.seq)", to: "_ = f",
		pkg: "spool/jetstream", tests: "TestFenceMeetsCommit",
	}, {
		name: "no answer counts as stored", file: "spool/jetstream/commit.go",
		from: "if now.writer.writer == (writer{c.incarnation, b.number}) {", to: "if true {",
		pkg: "spool/jetstream", tests: "TestUnanswered",
	}, {
		name: "a replica is not read to its end", file: "spool/jetstream/engine.go",
		from: "return e.mark() })\n	if err == nil {\n		err = e.follow.catchUp(ctx, seq, most)",
		to:   "return e.mark() })\n	if err == nil {\n		_ = seq",
		pkg:  "spool/jetstream", tests: "TestEngine",
	}, {
		name: "a deletion goes before its frame", file: "spool/jetstream/replica.go",
		from: "m.event > max(frame.event, t.cleared)", to: "m.event >= event",
		pkg: "spool/jetstream", tests: "TestTrimmer",
	}, {
		name: "a packed record outlives a newer one", file: "spool/jetstream/pack.go",
		from: "case w.ttl > 0 && w.ttl < most && p.known(key):", to: "case false:",
		pkg: "spool/jetstream", tests: "TestPacked$",
	}, {
		name: "events wait in a full stream", file: "spool/jetstream/commit.go",
		from: "if b.events {", to: "if false {",
		pkg: "spool/jetstream", tests: "TestFullMet",
	}, {
		name: "the history takes what is left for outcomes", file: "spool/jetstream/space.go",
		from: "s.stored.Load()+s.owed.Load() <= most-most/reserveShare/2", to: "most > 0",
		pkg: "spool/jetstream", tests: "TestFullPaused",
	}, {
		name: "a gap at the start is passed", file: "spool/jetstream/away.go",
		from: "if to <= p.Swept {", to: "if to <= p.Swept || true {",
		pkg: "spool/jetstream", tests: "TestHoleAtStart",
	}, {
		name: "a gap that comes is passed", file: "spool/jetstream/away.go",
		from: "if asked < first-1 {", to: "if asked < first-1 && !live {",
		pkg: "spool/jetstream", tests: "TestHoleComes",
	}, {
		name: "an event is taken twice", file: "spool/jetstream/away.go",
		from: "if first < want {", to: "if first < want && first == 0 {",
		pkg: "spool/jetstream", tests: "TestHoleComes",
	}}
}

// copyMutants break how relays compare the servers' copies.
func copyMutants() []mutant {
	return []mutant{{
		name: "a copy that lacks messages leads", file: "spool/jetstream/copies/watch.go",
		from: "next == \"\" {", to: "next != \"?\" {",
		pkg: "spool/jetstream", tests: "TestCopies$",
	}, {
		name: "who catches up is compared", file: "spool/jetstream/copies/copies.go",
		from: "if last[node] < info.State.LastSeq {", to: "if last[node] < info.State.LastSeq*0 {",
		pkg: "spool/jetstream/copies", tests: "TestCompareNodes",
	}, {
		name: "a comparison that does not tell makes whole", file: "spool/jetstream/copies/known.go",
		from: "n.AtMost < before.Missing", to: "n.AtMost >= 0",
		pkg: "spool/jetstream/copies", tests: "TestWatch",
	}, {
		name: "one round is a verdict", file: "spool/jetstream/copies/judge.go",
		from: "const rounds = 6", to: "const rounds = 1",
		pkg: "spool/jetstream/copies", tests: "TestJudge",
	}, {
		name: "what comes meanwhile counts as missing", file: "spool/jetstream/copies/copies.go",
		from: "n.steady = span{steady[node] - min(steady[node], after[node]), ",
		to:   "n.steady = span{steady[node], 0*",
		pkg:  "spool/jetstream", tests: "TestCopies$",
	}, {
		name: "a doubt is told at once", file: "spool/jetstream/copies/known.go",
		from: "case !s.Clear && !k.doubted[s.Node]:", to: "case !s.Clear && k.doubted == nil:",
		pkg: "spool/jetstream/copies", tests: "TestWatch",
	}}
}

func frameMutants() []mutant {
	return []mutant{{
		name: "leave what a damaged log led to", file: "spool/badger/precheck.go",
		from: "f.found == nil || f.found.first == 0", to: "f.found == nil || f.found.first >= 0",
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
		name: "a late event hides a frame", file: "spool/badger/txn.go",
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
		name: "set aside at no cost", file: "spool/read.go",
		from: "n.largest = max(n.largest, u.bytes)", to: "",
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

func lineMutants() []mutant {
	return []mutant{{
		name: "overtake in line", file: "relay/line/line.go",
		from: "	if n != nil || q.failedLocked() {",
		to:   "	if n != nil && q.failedLocked() {",
		pkg:  "relay/line", tests: "TestModel",
	}, {
		name: "forget a line that fails", file: "relay/line/line.go",
		from: "	n.flying, n.beside = false, true\n",
		to:   "	n.flying, n.beside = false, true\n	delete(q.of, order)\n",
		pkg:  "relay/line", tests: "TestModel",
	}, {
		name: "no place in line", file: "spool/line.go",
		from: "	if x.Order != 0 {\n		g.put(record.OrderKey(lane, x.Order, seq), nil, 0)",
		to: "	if x.Order != 0 && x.Attempts > 0 {\n" +
			"		g.put(record.OrderKey(lane, x.Order, seq), nil, 0)",
		pkg: "testenv", tests: "TestOrder",
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
		from: "	case t.attempts < l.target()", to: "	case t.attempts <= l.target()",
		pkg: "testenv", tests: "TestP5Exactly145Requests",
	}, {
		name: "defective at the 100th", file: "relay/warn.go",
		from: "	case failed > limit:", to: "	case failed >= limit:",
		pkg: "testenv", tests: "TestP5The101stFailedJob",
	}, {
		name: "count a failed job after its attempt", file: "relay/defect.go",
		from: "	wait := l.r.spool.Begin(change)\n	l.troubled.Store(true)\n",
		to: "	attempt := spool.Change{Settle: change.Settle}\n	change.Settle = nil\n" +
			"	_ = l.r.spool.Apply(attempt)\n" +
			"	wait := l.r.spool.Begin(change)\n	l.troubled.Store(true)\n",
		pkg: "testenv", tests: "TestFleetWrites",
	}, {
		name: "owe a mail after its defect", file: "relay/defect.go",
		from: "		change.Owe = owed // otherwise",
		to:   "		defer func() { _ = l.r.spool.Apply(spool.Change{Owe: owed}) }() // otherwise",
		pkg:  "testenv", tests: "TestFleetWrites",
	}, {
		name: "charge what was not tried", file: "relay/lane.go",
		from: " || closed(l.r.stopping) || !goes() {", to: " || closed(l.r.stopping) {",
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
		from: "l.portion.drop(); left &&", to: "l.portion.drop(); left && seq == 0 &&",
		pkg: "relay", tests: "TestPortion",
	}, {
		name: "any origin", file: "relay/admin/guard.go",
		from: "	return err != nil || u.Host == \"\" ||", to: "	return err != nil && u.Host == \"\" &&",
		pkg: "relay/admin", tests: ".",
	}}
}
