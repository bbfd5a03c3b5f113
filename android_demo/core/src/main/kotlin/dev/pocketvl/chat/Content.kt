package dev.pocketvl.chat

import dev.pocketvl.text.Message
import dev.pocketvl.text.Part
import dev.pocketvl.text.Role
import dev.pocketvl.text.TextPart

/** What is asked. */
sealed interface Content {
    /** One turn of the user, which follows the conversation so far. */
    data class Parts(val parts: List<Part>) : Content {
        constructor(text: String) : this(listOf(TextPart(text)))
    }

    /**
     * A whole conversation, which takes the place of the one so far; or messages of [Role.TOOL] alone, the results
     * of all tools that the last answer called, after which it goes on. What the old and the new conversation begin
     * with is not fed again.
     */
    data class Messages(val messages: List<Message>) : Content {
        internal val areResults: Boolean get() = messages.firstOrNull()?.role == Role.TOOL
    }
}
