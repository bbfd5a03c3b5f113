package dev.pocketvl.decoding

/** Why an answer ended. */
enum class StopReason {
    /** The model ended it, or a stop string was found. */
    STOP,

    /** It has as many tokens as were wanted. */
    LENGTH,

    /** The context is full. */
    CONTEXT,
    CANCELLED,

    /** It said the same thing over and over. */
    REPETITION,

    /** It ends with calls of tools. */
    TOOL_CALLS,
}

/**
 * When an answer ends: a rule over its tokens, asked after each of them.
 *
 * [eos]: ids that end an answer. [maxTokens]: as many as are wanted. [room]: slots of the context that the prompt
 * leaves. [repetition]: whether an answer that repeats itself without end is ended.
 */
class StopRule(eos: List<Int>, private val maxTokens: Int, private val room: Int, private val repetition: Boolean) {
    private val ends = eos.toIntArray()

    /** Tokens that an answer can have: one more than fits, which is not fed any more. */
    val most: Int get() = if (room < maxTokens) room + 1 else maxTokens

    /**
     * Why the answer ends with the last of these tokens; null if it goes on.
     *
     * [isWhole]: a stop string was found.
     */
    fun reason(tokens: TokenList, cancelled: Boolean, isWhole: Boolean = false): StopReason? =
        when {
            isWhole || tokens[tokens.size - 1] in ends -> StopReason.STOP
            cancelled -> StopReason.CANCELLED
            tokens.size >= maxTokens -> StopReason.LENGTH
            tokens.size > room -> StopReason.CONTEXT
            repetition && repeats(tokens) -> StopReason.REPETITION
            else -> null
        }
}
