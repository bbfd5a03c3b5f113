package dev.pocketvl.chat

import dev.pocketvl.Matrix
import dev.pocketvl.bundle.Manifest
import dev.pocketvl.decoding.Decoder
import dev.pocketvl.decoding.Feed
import dev.pocketvl.decoding.KVCache
import dev.pocketvl.decoding.StopReason
import dev.pocketvl.decoding.StopRule
import dev.pocketvl.decoding.generate
import dev.pocketvl.decoding.speculation.DRAFT_LENGTHS
import dev.pocketvl.decoding.speculation.PassCosts
import dev.pocketvl.decoding.speculation.PromptLookup
import dev.pocketvl.decoding.textFeed
import dev.pocketvl.text.Message
import dev.pocketvl.text.Role
import dev.pocketvl.text.Tokenizer
import dev.pocketvl.text.boxesInPixels
import dev.pocketvl.text.quadsInPixels
import dev.pocketvl.text.tools.ToolStream

/** An answer, and the conversation with it. */
internal class Answered(val answer: Answer, val conversation: Conversation)

/** Gets the progress of an answer. */
internal interface Progress {
    fun onStarted(promptTokens: Int, reusedTokens: Int)

    fun onText(piece: String)
}

/**
 * From an encoded turn to its answer: prefill what the KV cache lacks, then token after token.
 *
 * For one session, which holds the cache's claim meanwhile. [never]: ids that are not drawn. [costs]: the engine's.
 */
internal class Answerer(
    private val manifest: Manifest,
    private val decoder: Decoder,
    private val cache: KVCache,
    private val tokenizer: Tokenizer,
    private val never: IntArray,
    private val stopRepetition: Boolean,
    private val costs: PassCosts,
) {
    /**
     * A turn that is cancelled before its first token leaves the conversation at [before]: the slots written so far
     * serve the same turn asked again. Throws [dev.pocketvl.ContextException], [dev.pocketvl.EngineException].
     */
    fun answer(before: Conversation, encoded: EncodedTurn, turn: Turn, progress: Progress): Answered {
        val whole = encoded.feed
        val hidden = prefill(whole, turn, progress) ?: return Answered(cancelled(before, encoded, turn), before)
        val messages = before.messages + encoded.messages
        val calls =
            ToolStream(
                before.tools,
                callsBefore = messages.sumOf { it.calls.size },
                afterResults = messages.last().role == Role.TOOL,
            )
        val built = AnswerBuilder(tokenizer, manifest.specialTokens.eos, turn.stop, calls)
        val reason = generate(hidden, whole, built, turn, progress)
        val after =
            Conversation(
                messages + Message(Role.ASSISTANT, built.parts()),
                whole.then(textFeed(built.kept(), whole.nextPosition)),
                encoded.imageSizes,
                before,
                answerStart = whole.size,
                tools = before.tools,
            )
        val answer =
            Answer(
                text = built.text,
                tokenIds = built.tokens.toArray().asList(),
                promptTokenIds = whole.tokenIds.asList(),
                nextPosition = whole.nextPosition + built.tokens.size,
                stopReason = reason,
                statistics = turn.statistics(),
                boxes = boxesInPixels(built.boxes, encoded.imageSizes),
                notes = encoded.notes,
                stopString = built.stopString,
                logprobs = turn.logprobs.map { one -> one.spelled { tokenizer.tokenBytes(it, skipSpecial = false) } },
                toolCalls = built.toolCalls.toList(),
                quads = quadsInPixels(built.quads, encoded.imageSizes),
            )
        return Answered(answer, after)
    }

    private fun cancelled(before: Conversation, encoded: EncodedTurn, turn: Turn): Answer =
        Answer(
            text = "",
            tokenIds = emptyList(),
            promptTokenIds = encoded.feed.tokenIds.asList(),
            nextPosition = before.feed.nextPosition,
            stopReason = StopReason.CANCELLED,
            statistics = turn.statistics(),
            notes = encoded.notes,
        )

    /** The last token's hidden state (1, hiddenSize), or null if cancelled. */
    private fun prefill(whole: Feed, turn: Turn, progress: Progress): Matrix? {
        if (turn.isCancelled) return null
        val began = System.nanoTime()
        turn.reusedTokens = cache.plan(whole).kept
        progress.onStarted(whole.size, turn.reusedTokens)
        val chunks = decoder.feed(whole, turn.reusedTokens)
        var hidden: Matrix? = null
        while (!turn.isCancelled) {
            if (!chunks.hasNext()) return hidden
            val chunk = chunks.next()
            hidden = chunk.slice(chunk.rows - 1, chunk.rows)
            turn.prefillTokens += chunk.rows
            turn.prefillSeconds = secondsSince(began)
        }
        return null
    }

    /** Until a token ends the answer; then why. */
    private fun generate(
        hidden: Matrix,
        whole: Feed,
        built: AnswerBuilder,
        turn: Turn,
        progress: Progress,
    ): StopReason {
        val room = manifest.maxContext - whole.size
        val rule = StopRule(manifest.specialTokens.eos, turn.maxTokens, room, stopRepetition)
        val proposer = if (turn.lookup) lookup(whole) else null
        var reason: StopReason? = null
        val choices = generate(decoder, turn.chooser, hidden, whole.tokenIds, rule.most, proposer)
        while (reason == null) {
            val choice = choices.next()
            turn.tokenDone(choice)
            val piece = built.push(choice.token)
            if (piece.isNotEmpty()) progress.onText(piece)
            reason = rule.reason(built.tokens, turn.isCancelled, built.isStopped)
        }
        if (proposer != null) {
            turn.draftedTokens = proposer.drafted
            turn.acceptedTokens = proposer.accepted
        }
        val piece = built.finish()
        if (piece.isNotEmpty()) progress.onText(piece)
        return if (reason == StopReason.STOP && built.toolCalls.isNotEmpty()) StopReason.TOOL_CALLS else reason
    }

    /** Drafts nothing that stands for an image, ends an answer, or is no token. */
    private fun lookup(whole: Feed): PromptLookup {
        val special = manifest.specialTokens
        val never = never + special.imagePad + special.videoPad + special.eos
        return PromptLookup(whole.tokenIds, never, costs, minOf(DRAFT_LENGTHS.last(), manifest.prefillChunk - 1))
    }
}
