package dev.pocketvl

import dev.pocketvl.chat.Answer

/**
 * The events of one answer, for callers without coroutines: one call at a time, in order, on the executor that was
 * given. The last call is [onCompleted] or [onFailed], exactly one of them; none comes after a method threw.
 */
interface AnswerListener {
    /** See [Event.Started]. */
    fun onStarted(promptTokens: Int, reusedTokens: Int) {}

    /** See [Event.Text]. */
    fun onText(piece: String)

    /** See [Event.Completed]. */
    fun onCompleted(answer: Answer)

    /** See [Event.Failed]. */
    fun onFailed(error: PocketVLException, text: String)
}

/** An answer that is being made for an [AnswerListener]. */
fun interface AnswerHandle {
    /** Stops it, from any thread; what was said so far stays in the conversation. The listener's last call follows. */
    fun cancel()
}

/** Gets the pieces of an answer's text. */
fun interface TextListener {
    fun onText(piece: String)
}

internal fun AnswerListener.onEvent(event: Event) {
    when (event) {
        is Event.Started -> onStarted(event.promptTokens, event.reusedTokens)
        is Event.Text -> onText(event.piece)
        is Event.Completed -> onCompleted(event.answer)
        is Event.Failed -> onFailed(event.error, event.text)
    }
}
