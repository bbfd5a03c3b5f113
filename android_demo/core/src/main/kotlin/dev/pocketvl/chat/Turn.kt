package dev.pocketvl.chat

import dev.pocketvl.decoding.Choice
import dev.pocketvl.decoding.Chooser
import dev.pocketvl.decoding.Logprobs
import dev.pocketvl.text.StopStrings
import dev.pocketvl.text.tools.ToolSet

/** One question in progress: what the caller asked for, and what it took so far; [statistics] sums it up. */
internal class Turn(
    val chooser: Chooser,
    val maxTokens: Int,
    val stop: StopStrings,
    /** Those that the caller names; null if it names none. */
    val tools: ToolSet?,
    val lookup: Boolean,
    val cancellation: Cancellation,
) {
    val logprobs = ArrayList<Logprobs>()
    var draftedTokens = 0
    var acceptedTokens = 0
    var visionSeconds = 0.0
    var imagesEncoded = 0
    var imagesCached = 0
    var slicesEncoded = 0
    var slicesCached = 0
    var prefillSeconds = 0.0
    var prefillTokens = 0
    var reusedTokens = 0
    private var tokens = 0
    private val began = System.nanoTime()
    private var first = began
    private var last = began

    val isCancelled: Boolean get() = cancellation.isCancelled

    /** Call once per token, when it is known. */
    fun tokenDone(choice: Choice) {
        choice.logprobs?.let { logprobs.add(it) }
        last = System.nanoTime()
        if (tokens++ == 0) first = last
    }

    fun statistics(): Statistics =
        Statistics(
            visionSeconds = visionSeconds,
            imagesEncoded = imagesEncoded,
            imagesCached = imagesCached,
            prefillSeconds = prefillSeconds,
            prefillTokens = prefillTokens,
            reusedTokens = reusedTokens,
            decodeSeconds = (last - first) / NANOSECONDS,
            decodeTokens = maxOf(tokens - 1, 0),
            timeToFirstToken = (first - began) / NANOSECONDS,
            draftedTokens = draftedTokens,
            acceptedTokens = acceptedTokens,
            slicesEncoded = slicesEncoded,
            slicesCached = slicesCached,
        )
}

internal fun secondsSince(began: Long): Double = (System.nanoTime() - began) / NANOSECONDS

private const val NANOSECONDS = 1e9
