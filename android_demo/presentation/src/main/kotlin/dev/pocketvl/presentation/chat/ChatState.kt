package dev.pocketvl.presentation.chat

import dev.pocketvl.chat.Statistics
import dev.pocketvl.decoding.StopReason
import dev.pocketvl.presentation.model.ModelState
import dev.pocketvl.presentation.model.Question
import dev.pocketvl.presentation.platform.Memory
import dev.pocketvl.presentation.platform.Photo
import dev.pocketvl.presentation.platform.Thermal
import dev.pocketvl.text.Box

/** All that the chat screen shows. Made anew by [after]; nothing in it changes. */
data class ChatState(
    val model: ModelState = ModelState.NotChosen,
    val turns: List<Turn> = emptyList(),
    val draft: Draft = Draft(),
    /** A sentence that is shown once. */
    val notice: String? = null,
) {
    val isAnswering: Boolean get() = turns.lastOrNull()?.outcome is Outcome.Answering

    private val isFree: Boolean get() = model is ModelState.Ready && !isAnswering

    val canSend: Boolean get() = isFree && draft.text.isNotBlank()

    val canStop: Boolean get() = isAnswering

    /** The last answer made anew, or tried again where it failed. */
    val canRegenerate: Boolean get() = isFree && turns.isNotEmpty() && !draft.isEdit

    val canEdit: Boolean get() = isFree && turns.isNotEmpty() && !draft.isEdit

    /**
     * The photo that a box of the turn [index] is about; null where it says an image that is not there.
     *
     * Images are numbered over the turns of the conversation: failed ones are no part of it.
     */
    fun photoOf(index: Int, box: Box): Photo? =
        turns
            .take(index + 1)
            .filter { it.outcome is Outcome.Finished }
            .flatMap { it.question.photos }
            .getOrNull(box.image)
}

/** What is being written. [isEdit]: it takes the place of the last question. */
data class Draft(val text: String = "", val photos: List<Photo> = emptyList(), val isEdit: Boolean = false) {
    val isEmpty: Boolean get() = text.isBlank() && photos.isEmpty()
}

/** A question and what has been said to it. [replaces]: the turn that comes back if this answer fails. */
data class Turn(
    val question: Question,
    val answer: String = "",
    val outcome: Outcome = Outcome.Answering,
    val replaces: Turn? = null,
)

sealed interface Outcome {
    data object Answering : Outcome

    /** The turn is part of the conversation. [statistics] and readings are null after a restart of the app. */
    data class Finished(
        val end: StopReason,
        val boxes: List<Box> = emptyList(),
        val notes: List<String> = emptyList(),
        val statistics: Statistics? = null,
        val memory: Memory? = null,
        val thermal: Thermal? = null,
    ) : Outcome

    /**
     * The conversation goes on as if the question had not been asked; what was said until then stays on the screen.
     *
     * [isInstead]: it was to take the place of the turn before.
     */
    data class Failed(val message: String, val isInstead: Boolean) : Outcome
}
