package dev.pocketvl.chat

import dev.pocketvl.decoding.TokenList
import dev.pocketvl.text.AnswerText
import dev.pocketvl.text.CallPart
import dev.pocketvl.text.FoundShape
import dev.pocketvl.text.Part
import dev.pocketvl.text.StopStrings
import dev.pocketvl.text.TextPart
import dev.pocketvl.text.Tokenizer
import dev.pocketvl.text.tools.AnyToolCall
import dev.pocketvl.text.tools.ToolEvent
import dev.pocketvl.text.tools.ToolStream
import dev.pocketvl.text.tools.keptTokens

/**
 * One answer while its tokens come: what is shown of it, and what of it stays in the conversation.
 *
 * [eos]: ids that end an answer and are not part of its text. [stop] and [calls]: new, of this answer.
 */
internal class AnswerBuilder(
    private val tokenizer: Tokenizer,
    private val eos: List<Int>,
    private val stop: StopStrings,
    private val calls: ToolStream,
) {
    private val said = StringBuilder()
    private val answerText = AnswerText(tokenizer)
    private val lengths = TokenList() // characters after each token, those held back or cut off included
    private var shown = 0

    /** As generated, the one that ended the answer included. */
    val tokens = TokenList()
    val toolCalls = ArrayList<AnyToolCall>()

    val boxes: List<FoundShape> get() = answerText.boxes
    val quads: List<FoundShape> get() = answerText.quads

    /** What was shown, without calls. */
    val text: String get() = said.toString()

    /** Whether a stop string or a marker of the tools ended the answer. */
    val isStopped: Boolean get() = stop.found != null || calls.stoppedBy.isNotEmpty()

    /** The stop string that ended the text. */
    val stopString: String? get() = stop.found

    /** Of the message that the answer becomes. */
    fun parts(): List<Part> {
        val called = toolCalls.map { CallPart(it) }
        return if (called.isNotEmpty() && said.isEmpty()) called else listOf(TextPart(text)) + called
    }

    /** The text that can be shown after this token, maybe none. */
    fun push(token: Int): String {
        val piece = if (token in eos) "" else answerText.push(token)
        tokens.add(token)
        lengths.add((if (lengths.size > 0) lengths[lengths.size - 1] else 0) + piece.length)
        return show(stop.push(piece))
    }

    /** What was held back. */
    fun finish(): String {
        val piece = stop.push(answerText.finish())
        return show(piece + stop.finish()) + add(calls.finish())
    }

    /**
     * Tokens of what was shown, for the turns that follow: without the one that ended the answer, and without a stop
     * string, within one of whose tokens the text may end.
     */
    fun kept(): IntArray {
        if (stop.found == null) {
            val ends = tokens.size > 0 && tokens[tokens.size - 1] in eos
            val ids = tokens.toArray()
            val whole = if (ends) ids.copyOf(ids.size - 1) else ids
            return keptTokens(whole, tokenizer, calls.stoppedBy, toolCalls.isNotEmpty())
        }
        var count = 0
        while (count < lengths.size && lengths[count] <= shown) count++
        while (count > 0 && isPartOfACharacter(count - 1)) count-- // which the stop string begins with
        val length = if (count > 0) lengths[count - 1] else 0
        val rest = answerText.text.substring(length, shown)
        return tokens.toArray().copyOf(count) + tokenizer.encode(rest)
    }

    private fun isPartOfACharacter(index: Int): Boolean {
        val before = if (index > 0) lengths[index - 1] else 0
        return lengths[index] == before && tokens[index] !in tokenizer.specialIds
    }

    /** What no stop string cut off, on to the tools. */
    private fun show(piece: String): String {
        shown += piece.length
        return add(calls.push(piece))
    }

    /** Keeps calls; the text of the rest. */
    private fun add(events: List<ToolEvent>): String {
        val piece = StringBuilder()
        for (event in events) {
            when (event) {
                is ToolEvent.Said -> piece.append(event.text)
                is ToolEvent.Called -> toolCalls.add(event.call)
            }
        }
        said.append(piece)
        return piece.toString()
    }
}
