package dev.pocketvl

import dev.pocketvl.chat.Answer
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.last

/**
 * What happens while an answer is made. The last event is [Completed] or [Failed], and no other is either of them;
 * where the collector was cancelled or threw, there is none.
 */
sealed interface Event {
    /**
     * Images are encoded and the prompt is known. Not sent where the answer fails or is cancelled before that.
     *
     * [promptTokens]: of the whole conversation up to where the answer begins. [reusedTokens]: of those, tokens
     * whose keys and values are in the cache and are not fed again.
     */
    data class Started(val promptTokens: Int, val reusedTokens: Int) : Event

    /** The next piece of the answer's text: never empty, whole characters only. */
    data class Text(val piece: String) : Event

    /** The answer is made and part of the conversation, also one that was cancelled. */
    data class Completed(val answer: Answer) : Event

    /** There is no answer, and the conversation is as it was before. [text]: what was said until then. */
    data class Failed(val error: PocketVLException, val text: String) : Event
}

/**
 * Collects the events of [Chat.ask] and returns the answer.
 *
 * Throws what made it fail: [UsageException], [ContextException], [ImageException], [PromptException],
 * [EngineException], [BundleException].
 */
suspend fun Flow<Event>.answer(): Answer =
    when (val last = last()) {
        is Event.Completed -> last.answer
        is Event.Failed -> throw last.error
        else -> error("the last event is $last")
    }
