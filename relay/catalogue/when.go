package catalogue

// when says when Wati sends an event of a type (docs.wati.io/reference, and the support articles
// for what stands there only); empty: the type is not in the catalogue. Twins are told by the type
// that they go with.
func when(typ string) string {
	switch typ {
	case "message":
		return "the user sends a message of any kind"
	case "newContactMessageReceived":
		return "a new contact sends its first message; comes beside message"
	case "sessionMessageSent":
		return "a free-form message is sent to the user"
	case "sessionMessageSent_v2":
		return "as sessionMessageSent, with localMessageId and the channel"
	case "templateMessageSent":
		return "a template message is sent to the user"
	case "templateMessageSent_v2":
		return "as templateMessageSent, with localMessageId, templateContent and the channel"
	case "sentMessageDELIVERED":
		return "a message that was sent reaches the user's phone"
	case "sentMessageREAD":
		return "the user reads a message that was sent"
	case "sentMessageREPLIED":
		return "the user replies to a message that was sent; comes beside message"
	case "sentMessageDELIVERED_v2", "sentMessageREAD_v2", "sentMessageREPLIED_v2":
		return "as " + typ[:len(typ)-len("_v2")] + ", with localMessageId and the channel"
	case "templateMessageFailed":
		return "a template message cannot be delivered; failedCode is Meta's"
	case "sessionMessageFailed":
		return "a free-form message cannot be delivered; failedCode is Meta's"
	case "chatbotTriggered":
		return "a message of the user's starts a chatbot"
	case "contactRequestTyping":
		return "the user shares the contact card that was asked for"
	}
	return whenElse(typ)
}

// whenElse is when for what is no message.
func whenElse(typ string) string {
	switch typ {
	case "ctaUrlClicked":
		return "the user taps a link button of a template"
	case "ctaButtonClicked":
		return "as ctaUrlClicked, by the name that live accounts send"
	case "call.status":
		return "a call begins, is answered, missed or over"
	case "callStatus":
		return "as call.status, by the name that live accounts send"
	case "paymentCaptured":
		return "the user has paid; of the account's default number only"
	case "templateReviewed":
		return "Meta approves or rejects a template"
	case "templateQualityUpdated":
		return "the quality of a template changes: 0 unknown, 1 green, 2 red, 3 yellow"
	case "templateCategoryUpdated":
		return "Meta puts a template into another category"
	case "wabaStatusReviewUpdate":
		return "the review of the business account comes to a result"
	case "accountDeleted":
		return "the WhatsApp business account is deleted"
	case "accountUpdated":
		return "the business account violates a policy, or is banned or restored"
	case "PhoneNumberQualityUpdatedEvent":
		return "the quality or the messaging limit of a number changes"
	case "phoneNumberDeleted":
		return "a number is removed from the account"
	case "businessCapabilityUpdated":
		return "the limits of the business account change"
	case "message_bsuid", "newContactMessageReceived_bsuid", "sessionMessageSent_bsuid",
		"sessionMessageSent_v2_bsuid", "templateMessageSent_bsuid", "templateMessageSent_v2_bsuid",
		"chatbotTriggered_bsuid", "ctaUrlClicked_bsuid", "call.status_bsuid":
		return "as " + typ[:len(typ)-len("_bsuid")] + ", of a contact known by its bsuid; waId may " +
			"be absent"
	}
	return ""
}
