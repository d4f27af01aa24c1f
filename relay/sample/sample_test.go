package sample

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// bodyOf decodes the sample of typ, which must be a JSON object that names its own type.
func bodyOf(t *testing.T, typ string) map[string]any {
	t.Helper()
	payload, ok := Payload(typ)
	if !ok {
		t.Fatalf("no sample of %q", typ)
	}
	var body map[string]any
	if err := json.Unmarshal(payload, &body); err != nil {
		t.Fatalf("sample of %q: %s", typ, err)
	}
	if body["eventType"] != typ {
		t.Fatalf("sample of %q says eventType %v", typ, body["eventType"])
	}
	return body
}

// want fails unless every field is there, whatever its value.
func want(t *testing.T, typ string, body map[string]any, fields ...string) {
	t.Helper()
	for _, field := range fields {
		if _, ok := body[field]; !ok {
			t.Errorf("sample of %q has no %s", typ, field)
		}
	}
}

// lack fails when one of the fields is there.
func lack(t *testing.T, typ string, body map[string]any, fields ...string) {
	t.Helper()
	for _, field := range fields {
		if value, ok := body[field]; ok {
			t.Errorf("sample of %q has %s = %v", typ, field, value)
		}
	}
}

// catalogue is every event type that Wati documents or was seen to fire.
func catalogue() []string {
	return []string{
		"message", "newContactMessageReceived",
		"sessionMessageSent", "sessionMessageSent_v2",
		"templateMessageSent", "templateMessageSent_v2",
		"sentMessageDELIVERED", "sentMessageDELIVERED_v2",
		"sentMessageREAD", "sentMessageREAD_v2",
		"sentMessageREPLIED", "sentMessageREPLIED_v2",
		"templateMessageFailed", "sessionMessageFailed",
		"chatbotTriggered", "ctaUrlClicked", "ctaButtonClicked",
		"call.status", "callStatus", "contactRequestTyping", "paymentCaptured",
		"templateReviewed", "templateQualityUpdated", "templateCategoryUpdated",
		"wabaStatusReviewUpdate", "accountDeleted", "accountUpdated",
		"PhoneNumberQualityUpdatedEvent", "phoneNumberDeleted", "businessCapabilityUpdated",
		"message_bsuid", "newContactMessageReceived_bsuid",
		"sessionMessageSent_bsuid", "sessionMessageSent_v2_bsuid",
		"templateMessageSent_bsuid", "templateMessageSent_v2_bsuid",
		"chatbotTriggered_bsuid", "ctaUrlClicked_bsuid", "call.status_bsuid",
	}
}

func TestTypes(t *testing.T) {
	all := catalogue()
	slices.Sort(all)
	if got := Types(); !slices.Equal(got, all) {
		t.Fatalf("Types() = %q, want %q", got, all)
	}
	for _, typ := range all {
		bodyOf(t, typ)
	}
}

func TestPayload(t *testing.T) {
	f := func(typ string, want bool) {
		t.Helper()
		payload, ok := Payload(typ)
		if ok != want || ok != (len(payload) > 0) {
			t.Errorf("Payload(%q) = %d bytes, %t", typ, len(payload), ok)
		}
	}
	// A type of the catalogue, and one with a dot in its name.
	f("message", true)
	f("call.status", true)
	// Types are case-sensitive.
	f("Message", false)
	f("sentMessageDelivered", false)
	// A type is never a path.
	f("", false)
	f(".", false)
	f("../sample", false)
	f("x/../message", false)
	f("message.json", false)

	// A caller may scribble on what it was given.
	first, _ := Payload("message")
	first[0] = 'X'
	if second, _ := Payload("message"); second[0] != '{' {
		t.Errorf("Payload handed out the same bytes twice")
	}
}

// Every sample: the spellings of time, and data that belongs to nobody.
func TestCommonShapes(t *testing.T) {
	created := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z$`)
	createdNoZone := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}$`)
	seconds := regexp.MustCompile(`^1[0-9]{9}$`)
	phone := regexp.MustCompile(`\b(?:1202555|44770090)\d{4}\b`)
	number := regexp.MustCompile(`"(?:waId|phone|phoneNumber|channelPhoneNumber|from|` +
		`from_number|to_number|sender)": "([^"]*)"`)
	domain := regexp.MustCompile(`(?:@|//)([a-z0-9.-]+\.[a-z]+)[/"]`)
	for _, typ := range Types() {
		body := bodyOf(t, typ)
		if v, ok := body["created"]; ok {
			form := created
			if strings.HasPrefix(typ, "ctaUrlClicked") {
				form = createdNoZone
			}
			if s, ok := v.(string); !ok || !form.MatchString(s) {
				t.Errorf("sample of %q: created = %v", typ, v)
			}
		}
		if v, ok := body["timestamp"]; ok {
			if s, ok := v.(string); !ok || !seconds.MatchString(s) {
				t.Errorf("sample of %q: timestamp = %#v", typ, v)
			}
		}
		payload, _ := Payload(typ)
		for _, m := range number.FindAllSubmatch(payload, -1) {
			if !phone.Match(m[1]) {
				t.Errorf("sample of %q: %s is not a fictional number", typ, m[1])
			}
		}
		for _, m := range domain.FindAllSubmatch(payload, -1) {
			if !bytes.HasSuffix(m[1], []byte(".example")) {
				t.Errorf("sample of %q: %s is not a reserved domain", typ, m[1])
			}
		}
	}
}

// What a user wrote: owner false, "SENT" although it was received, a numeric sourceType.
func TestInbound(t *testing.T) {
	for _, typ := range []string{
		"message", "message_bsuid", "chatbotTriggered", "chatbotTriggered_bsuid",
	} {
		body := bodyOf(t, typ)
		want(t, typ, body, "id", "created", "whatsappMessageId", "conversationId", "ticketId",
			"text", "type", "data", "sourceId", "sourceUrl", "timestamp", "assignedId",
			"operatorName", "operatorEmail", "messageContact", "senderName", "listReply",
			"interactiveButtonReply", "buttonReply", "replyContextId", "forwarded",
			"frequentlyForwarded", "channelId", "channelPhoneNumber")
		if body["owner"] != false || body["statusString"] != "SENT" {
			t.Errorf("sample of %q: owner %v, statusString %v",
				typ, body["owner"], body["statusString"])
		}
		if _, ok := body["sourceType"].(float64); !ok {
			t.Errorf("sample of %q: sourceType = %#v, want a number", typ, body["sourceType"])
		}
		if strings.HasPrefix(typ, "chatbotTriggered") {
			want(t, typ, body, "chatbotId")
		}
	}
	typ := "newContactMessageReceived"
	body := bodyOf(t, typ)
	want(t, typ, body, "waId", "senderName", "sourceId", "sourceUrl", "sourceType")
	lack(t, typ, body, "conversationId", "bsuid", "ticketId")
}

// What the business wrote: templates have neither owner nor timestamp and a worded sourceType.
func TestOutbound(t *testing.T) {
	for _, typ := range []string{
		"templateMessageSent", "templateMessageSent_v2",
		"templateMessageSent_bsuid", "templateMessageSent_v2_bsuid",
	} {
		body := bodyOf(t, typ)
		want(t, typ, body, "id", "whatsappMessageId", "templateId", "templateName", "created",
			"conversationId", "ticketId", "text", "operatorEmail")
		lack(t, typ, body, "owner", "timestamp")
		if s, ok := body["sourceType"].(string); !ok || s == "" {
			t.Errorf("sample of %q: sourceType = %#v, want a word", typ, body["sourceType"])
		}
		if strings.Contains(typ, "_v2") {
			want(t, typ, body, "headerLink", "headerType", "templateContent")
		}
	}
	for _, typ := range []string{
		"sessionMessageSent", "sessionMessageSent_v2",
		"sessionMessageSent_bsuid", "sessionMessageSent_v2_bsuid",
	} {
		body := bodyOf(t, typ)
		want(t, typ, body, "conversationId", "timestamp", "assigneeId")
		if body["owner"] != true {
			t.Errorf("sample of %q: owner = %v", typ, body["owner"])
		}
		if strings.Contains(typ, "_v2") {
			want(t, typ, body, "chatbotTriggeredEventId", "replyContextId")
		}
	}
}

// What became of it: only the conversation is named, never the user.
func TestStatus(t *testing.T) {
	f := func(base, status string) {
		t.Helper()
		for _, typ := range []string{base, base + "_v2"} {
			body := bodyOf(t, typ)
			want(t, typ, body, "conversationId", "ticketId", "text", "type", "timestamp",
				"assigneeId", "operatorEmail")
			lack(t, typ, body, "waId", "bsuid", "owner", "created")
			if body["statusString"] != status {
				t.Errorf("sample of %q: statusString = %v", typ, body["statusString"])
			}
		}
	}
	f("sentMessageDELIVERED", "Delivered")
	f("sentMessageREAD", "Read")
	f("sentMessageREPLIED", "Replied")

	for _, typ := range []string{"templateMessageFailed", "sessionMessageFailed"} {
		body := bodyOf(t, typ)
		want(t, typ, body, "conversationId", "localMessageId", "failedDetail")
		lack(t, typ, body, "waId", "owner")
		if _, ok := body["failedCode"].(string); !ok {
			t.Errorf("sample of %q: failedCode = %#v", typ, body["failedCode"])
		}
	}
	if got := bodyOf(t, "sessionMessageFailed")["type"]; got != "session" {
		t.Errorf("sessionMessageFailed: type = %v", got)
	}
}

// A second version adds the identifier of the sender's own and the channel.
func TestVersions(t *testing.T) {
	for _, typ := range Types() {
		base, found := strings.CutSuffix(strings.TrimSuffix(typ, "_bsuid"), "_v2")
		if !found {
			continue
		}
		want(t, typ, bodyOf(t, typ), "localMessageId", "channelId", "channelPhoneNumber")
		lack(t, base, bodyOf(t, base), "localMessageId", "channelId", "channelPhoneNumber")
	}
}

// A bsuid twin always has bsuid, and at least one of them has no waId.
func TestBSUID(t *testing.T) {
	without := 0
	for _, typ := range Types() {
		base, found := strings.CutSuffix(typ, "_bsuid")
		if !found {
			continue
		}
		body := bodyOf(t, typ)
		want(t, typ, body, "bsuid", "parentBsuid", "username")
		lack(t, base, bodyOf(t, base), "bsuid")
		if _, ok := body["waId"]; !ok {
			without++
		}
	}
	if without == 0 {
		t.Errorf("every bsuid sample has a waId")
	}
}

// Links, calls, payments, and what happens to templates, accounts and numbers.
func TestOthers(t *testing.T) {
	f := func(typ string, fields ...string) {
		t.Helper()
		want(t, typ, bodyOf(t, typ), fields...)
	}
	f("ctaUrlClicked", "conversationId", "templateId", "templateName", "displayText", "buttonUrl")
	f("ctaButtonClicked", "templateId", "displayText", "buttonUrl")
	f("contactRequestTyping", "contactId", "waId", "phone", "name", "bsuid")
	f("paymentCaptured", "payment", "status", "from")
	f("templateReviewed", "wabaId", "templateName", "templateId", "watiTemplateId",
		"oldTemplateStatus", "newTemplateStatus")
	f("templateQualityUpdated", "oldTemplateQuality", "newTemplateQuality")
	f("templateCategoryUpdated", "oldTemplateCategory", "newTemplateCategory")
	f("wabaStatusReviewUpdate", "accountReviewStatus", "wabaId")
	f("accountDeleted", "wabaId")
	f("accountUpdated", "wabaId", "event", "violationInfo", "banInfo")
	f("PhoneNumberQualityUpdatedEvent", "phoneNumber", "event", "currentLimit", "oldLimit")
	f("phoneNumberDeleted", "wabaId", "phoneNumber")
	f("businessCapabilityUpdated", "maxDailyConversationPerPhone", "maxPhoneNumbersPerWaba")
	for _, typ := range []string{"call.status", "callStatus", "call.status_bsuid"} {
		body := bodyOf(t, typ)
		want(t, typ, body, "call_id")
		metadata, _ := body["metadata"].(map[string]any)
		want(t, typ, metadata, "direction", "status", "to_number", "duration_seconds",
			"timestamp", "operator_id", "team_name")
	}
}

func TestLifeCycle(t *testing.T) {
	order := []string{
		"templateMessageSent", "templateMessageSent_v2",
		"sentMessageDELIVERED", "sentMessageDELIVERED_v2",
		"sentMessageREAD", "sentMessageREAD_v2", "message",
		"sentMessageREPLIED", "sentMessageREPLIED_v2",
	}
	sent := bodyOf(t, "templateMessageSent_v2")
	var got []string
	for _, event := range LifeCycle() {
		got = append(got, event.Type)
		embedded, _ := Payload(event.Type)
		if !bytes.Equal(embedded, event.Payload) {
			t.Errorf("life cycle: %q is not the embedded sample", event.Type)
		}
		body := bodyOf(t, event.Type)
		if body["conversationId"] != sent["conversationId"] {
			t.Errorf("life cycle: %q is of another conversation", event.Type)
		}
		if event.Type == "message" {
			if body["replyContextId"] != sent["whatsappMessageId"] ||
				body["waId"] != sent["waId"] || body["id"] == sent["id"] {
				t.Errorf("life cycle: the answer does not point to the template")
			}
			continue
		}
		if body["id"] != sent["id"] || body["whatsappMessageId"] != sent["whatsappMessageId"] {
			t.Errorf("life cycle: %q is not about the template", event.Type)
		}
		if strings.HasSuffix(event.Type, "_v2") &&
			body["localMessageId"] != sent["localMessageId"] {
			t.Errorf("life cycle: %q has another localMessageId", event.Type)
		}
	}
	if !slices.Equal(got, order) {
		t.Errorf("life cycle = %q, want %q", got, order)
	}
}

// What is made for any other type is JSON of the shape of the catalogue's, whatever the type holds.
func TestGeneric(t *testing.T) {
	for _, typ := range []string{"order.paid", `a"b\<€`} {
		var got map[string]any
		if err := json.Unmarshal(Generic(typ, time.Unix(1_700_000_000, 0)), &got); err != nil {
			t.Fatal(err)
		}
		if got["eventType"] != typ || got["sample"] != true || got["timestamp"] != "1700000000" ||
			got["text"] == "" || len(got) != 4 {
			t.Errorf("%q: got %v", typ, got)
		}
	}
}
