package dev.pocketvl.presentation.model

import dev.pocketvl.chat.Statistics
import dev.pocketvl.decoding.StopReason
import dev.pocketvl.text.Box

/** An answer that ended by itself or was stopped. [isKept]: whether the conversation goes on after it. */
data class FinishedAnswer(
    val text: String,
    val boxes: List<Box>,
    val statistics: Statistics,
    val end: StopReason,
    /** Sentences about images that were not read by the letter. */
    val notes: List<String>,
    val isKept: Boolean,
)

/** What comes while an answer is made: pieces of text, then exactly one of the others. */
sealed interface AnswerEvent {
    /** Whole characters, to be appended. */
    data class Piece(val text: String) : AnswerEvent

    data class Completed(val answer: FinishedAnswer) : AnswerEvent

    /** The conversation is as it was before the question. */
    data class Failed(val message: String) : AnswerEvent
}
