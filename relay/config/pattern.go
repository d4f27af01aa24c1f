package config

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Pattern matches event types: exactly, or with * for any run of characters, also an empty one, at
// any place. It is case-sensitive, and nothing but * is special.
type Pattern string

// Match reports whether the whole of s matches. It does not allocate and needs no backtracking:
// with * as the only wildcard, taking each piece at its first place is always right.
func (p Pattern) Match(s string) bool {
	piece, rest, starred := strings.Cut(string(p), "*")
	if !starred {
		return s == piece
	}
	s, ok := strings.CutPrefix(s, piece)
	for ok {
		piece, rest, starred = strings.Cut(rest, "*")
		if !starred {
			return strings.HasSuffix(s, piece)
		}
		_, s, ok = strings.Cut(s, piece)
	}
	return false
}

// KnownTypes returns the event types that Wati documents, their BSUID-first twins, and two names
// that were seen live and differ from the documentation (callStatus, ctaButtonClicked). It serves
// to warn of likely typing errors: unknown types are normal, never an error. Each call returns a
// fresh slice. Source: docs.wati.io.
func KnownTypes() []string {
	return []string{
		"message", "message_bsuid",
		"newContactMessageReceived", "newContactMessageReceived_bsuid",
		"sessionMessageSent", "sessionMessageSent_v2",
		"sessionMessageSent_bsuid", "sessionMessageSent_v2_bsuid",
		"templateMessageSent", "templateMessageSent_v2",
		"templateMessageSent_bsuid", "templateMessageSent_v2_bsuid",
		"sentMessageDELIVERED", "sentMessageDELIVERED_v2",
		"sentMessageREAD", "sentMessageREAD_v2",
		"sentMessageREPLIED", "sentMessageREPLIED_v2",
		"templateMessageFailed", "sessionMessageFailed",
		"chatbotTriggered", "chatbotTriggered_bsuid",
		"ctaUrlClicked", "ctaUrlClicked_bsuid", "ctaButtonClicked",
		"call.status", "call.status_bsuid", "callStatus",
		"contactRequestTyping", "paymentCaptured",
		"templateReviewed", "templateQualityUpdated", "templateCategoryUpdated",
		"wabaStatusReviewUpdate", "accountDeleted", "accountUpdated",
		"PhoneNumberQualityUpdatedEvent", "phoneNumberDeleted", "businessCapabilityUpdated",
	}
}

func checkPattern(s string) problem {
	if s == "" {
		return problem{"a pattern cannot be empty", `["*"] is all`}
	}
	if len(s) > typeBytesMax || hasControl(s) || !utf8.ValidString(s) {
		return problem{fmt.Sprintf("a pattern is 1 to %d bytes without control characters",
			typeBytesMax), "no type could match it"}
	}
	return problem{}
}
