package dev.pocketvl.chat

import dev.pocketvl.UsageException
import dev.pocketvl.decoding.Feed
import dev.pocketvl.media.PixelSize
import dev.pocketvl.text.Message
import dev.pocketvl.text.tools.AnyToolCall
import dev.pocketvl.text.tools.ToolSet

/**
 * A conversation as a value: to fork it, keep a reference; to take a turn back, go to the one [before].
 *
 * It holds all tokens that its messages became, images' embeddings among them.
 */
class Conversation internal constructor(
    val messages: List<Message> = emptyList(),
    /** Without the stop token of the last answer, which the next turn writes as its template does. */
    val feed: Feed = Feed.EMPTY,
    /** Of all images, as they were given. */
    val imageSizes: List<PixelSize> = emptyList(),
    /** The conversation without its last question and answer; null at the start. */
    val before: Conversation? = null,
    /** The slot of [feed] where its last answer begins; 0 at the start. */
    val answerStart: Int = 0,
    /** Those that its system turn describes. */
    val tools: ToolSet = ToolSet(),
) {
    /** Those of the last answer, whose results may come next. */
    val openCalls: List<AnyToolCall> get() = messages.lastOrNull()?.calls.orEmpty()

    /** For a turn that names these, or null to go on as before. Throws [UsageException] where it is too late. */
    internal fun withTools(tools: ToolSet?): Conversation {
        if (tools == null || tools == this.tools) return this
        if (feed.size > 0) {
            throw UsageException(
                "The tools are part of a conversation's beginning and cannot change in it; give the same ones," +
                    " reset() first, or pass the whole conversation as messages.",
            )
        }
        return Conversation(messages, feed, imageSizes, before, answerStart, tools)
    }
}
