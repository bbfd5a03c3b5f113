package dev.pocketvl.chat

import dev.pocketvl.media.EncodedImage
import dev.pocketvl.text.ImagePart
import dev.pocketvl.text.Message
import dev.pocketvl.text.Role
import dev.pocketvl.text.TextPart

/**
 * A question of a live view, the frame that it is about, and its answer.
 *
 * [hasFrame]: whether the frame comes before its text: not where it is another turn's already, or has left.
 */
internal data class LiveTurn(
    val question: String,
    val frame: EncodedImage,
    val answer: String? = null,
    val hasFrame: Boolean = true,
)

/**
 * Of turns about these frames, by key, which have theirs before their text: the first of neighbouring turns about one
 * frame, for the [most] newest of such neighbours.
 */
internal fun keptFrames(frames: List<String>, most: Int): List<Boolean> {
    val first = frames.indices.map { it == 0 || frames[it - 1] != frames[it] }
    val leaving = first.count { it } - most
    var seen = 0
    return first.map { isFirst -> isFirst && seen++ >= leaving }
}

/** With the frames that stay; the last turn is about the newest. */
internal fun withFrames(turns: List<LiveTurn>, most: Int): List<LiveTurn> {
    val kept = keptFrames(turns.map { it.frame.media.key }, most)
    return turns.mapIndexed { i, turn -> turn.copy(hasFrame = kept[i]) }
}

/** For a chat: the last turn is not answered. */
internal fun asMessages(turns: List<LiveTurn>): List<Message> =
    turns.flatMap { turn ->
        val image = if (turn.hasFrame) listOf(ImagePart(turn.frame)) else emptyList()
        val question = Message(Role.USER, image + TextPart(turn.question))
        listOf(question) + listOfNotNull(turn.answer?.let { Message(Role.ASSISTANT, it) })
    }
