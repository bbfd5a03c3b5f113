package dev.pocketvl.chat

import dev.pocketvl.UsageException
import dev.pocketvl.bundle.Manifest
import dev.pocketvl.decoding.Chooser
import dev.pocketvl.text.StopStrings
import dev.pocketvl.text.tools.ToolSet

/** What a caller says about one question, checked and made into a turn. [never]: ids that are not drawn. */
internal class TurnMaker(private val manifest: Manifest, private val never: IntArray) {
    /** Throws [UsageException] for options that cannot be meant. */
    fun turn(options: AskOptions, cancellation: Cancellation): Turn {
        if (options.maxTokens < 1) throw UsageException("max_tokens must be at least 1, not ${options.maxTokens}.")
        val chooser = Chooser(options.sampling.sampler(manifest.sampling), never, options.logprobs)
        return Turn(
            chooser,
            options.maxTokens,
            StopStrings(options.stop),
            tools(options),
            options.lookup,
            cancellation,
        )
    }

    /** Those that the caller names; null if it names none. */
    private fun tools(options: AskOptions): ToolSet? {
        val tools = ToolSet(options.tools ?: return null, options.parallelToolCalls)
        if (!tools.isEmpty && !manifest.chat) {
            throw UsageException("This bundle's model has no chat template and calls no tools; leave them out.")
        }
        return tools
    }
}
