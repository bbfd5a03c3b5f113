package dev.pocketvl.chat

import dev.pocketvl.decoding.Logprobs
import dev.pocketvl.decoding.StopReason
import dev.pocketvl.text.Box
import dev.pocketvl.text.Quad
import dev.pocketvl.text.tools.AnyToolCall

/** What a chat gives back: text, tokens, positions, and what each stage took. */
class Answer(
    val text: String,
    /** As generated, the stop token included. */
    val tokenIds: List<Int>,
    /** The whole conversation up to where the answer begins. */
    val promptTokenIds: List<Int>,
    /** Rope position of the token that would follow the answer. */
    val nextPosition: Int,
    val stopReason: StopReason,
    val statistics: Statistics,
    /** Of objects that the answer points at. */
    val boxes: List<Box> = emptyList(),
    /** Sentences about images and videos that were not read by the letter. */
    val notes: List<String> = emptyList(),
    /** That ended the text, where one did. */
    val stopString: String? = null,
    /** Of each token of [tokenIds], where they were asked for. */
    val logprobs: List<Logprobs> = emptyList(),
    /** Whose results are to come next. */
    val toolCalls: List<AnyToolCall> = emptyList(),
    val quads: List<Quad> = emptyList(),
) {
    override fun toString(): String = "Answer($text)"
}
