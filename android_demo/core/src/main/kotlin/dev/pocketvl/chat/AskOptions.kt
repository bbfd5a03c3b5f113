package dev.pocketvl.chat

import dev.pocketvl.text.tools.Tool

/** What a caller may say about one question, beside its content. */
data class AskOptions
    @JvmOverloads
    constructor(
        /** Of the answer, at least 1. */
        val maxTokens: Int = DEFAULT_MAX_TOKENS,
        val sampling: Sampling = Sampling(),
        /** Up to 4 texts; the answer ends before the first of them. */
        val stop: List<String> = emptyList(),
        /** How many likeliest tokens, 0 to 20, [Answer.logprobs] lists at each token; 0 leaves it empty. */
        val logprobs: Int = 0,
        /**
         * Whether tokens are drafted from what was said before: faster where an answer quotes, but tokens that are
         * toss-ups may come out otherwise if the bundle is quantized.
         */
        val lookup: Boolean = false,
        /** What the model may call; named with a conversation's first turn, they stay. null: as before. */
        val tools: List<Tool>? = null,
        /** Whether it may make several calls at once, where [tools] are named. */
        val parallelToolCalls: Boolean = false,
    ) {
        fun withMaxTokens(maxTokens: Int): AskOptions = copy(maxTokens = maxTokens)

        fun withSampling(sampling: Sampling): AskOptions = copy(sampling = sampling)

        fun withStop(vararg stop: String): AskOptions = copy(stop = stop.toList())

        fun withLogprobs(logprobs: Int): AskOptions = copy(logprobs = logprobs)

        fun withLookup(lookup: Boolean): AskOptions = copy(lookup = lookup)

        @JvmOverloads
        fun withTools(tools: List<Tool>, parallelToolCalls: Boolean = false): AskOptions =
            copy(tools = tools, parallelToolCalls = parallelToolCalls)

        companion object {
            const val DEFAULT_MAX_TOKENS = 256
        }
    }
