package dev.pocketvl.presentation.chat

import dev.pocketvl.presentation.model.FinishedAnswer
import dev.pocketvl.presentation.model.ModelState
import dev.pocketvl.presentation.model.Question
import dev.pocketvl.presentation.platform.Memory
import dev.pocketvl.presentation.platform.Photo
import dev.pocketvl.presentation.platform.Thermal

/** What happened, by the user's hand or the model's. */
sealed interface ChatEvent {
    data class ModelChanged(val model: ModelState) : ChatEvent

    data class Typed(val text: String) : ChatEvent

    data class Attached(val photo: Photo) : ChatEvent

    data class Detached(val uri: String) : ChatEvent

    data object EditBegan : ChatEvent

    data object EditDropped : ChatEvent

    /** [isInstead]: of the last turn that is part of the conversation. */
    data class Asked(val question: Question, val isInstead: Boolean) : ChatEvent

    data class Said(val piece: String) : ChatEvent

    data class Answered(val answer: FinishedAnswer, val memory: Memory?, val thermal: Thermal?) : ChatEvent

    data class AnswerFailed(val message: String) : ChatEvent

    /** Stopped before anything was said. */
    data object Withdrawn : ChatEvent

    data class Restored(val turns: List<Turn>) : ChatEvent

    data class Noticed(val message: String) : ChatEvent

    data object NoticeShown : ChatEvent
}

/** The state after [event]. Events that do not fit change nothing: the screen may be a moment behind. */
fun ChatState.after(event: ChatEvent): ChatState =
    when (event) {
        is ChatEvent.ModelChanged -> copy(model = event.model)
        is ChatEvent.Typed -> copy(draft = draft.copy(text = event.text))
        is ChatEvent.Attached -> attached(event.photo)
        is ChatEvent.Detached -> copy(draft = draft.copy(photos = draft.photos.filter { it.uri != event.uri }))
        ChatEvent.EditBegan -> if (canEdit) copy(draft = turns.last().question.asDraft(isEdit = true)) else this
        ChatEvent.EditDropped -> if (draft.isEdit) copy(draft = Draft()) else this
        is ChatEvent.Asked -> asked(event)
        is ChatEvent.Said -> running { it.copy(answer = it.answer + event.piece) }
        is ChatEvent.Answered -> answered(event)
        is ChatEvent.AnswerFailed -> failed(event.message)
        ChatEvent.Withdrawn -> withdrawn()
        is ChatEvent.Restored -> copy(turns = event.turns)
        is ChatEvent.Noticed -> copy(notice = event.message)
        ChatEvent.NoticeShown -> copy(notice = null)
    }

private fun ChatState.attached(photo: Photo): ChatState =
    if (draft.photos.any { it.uri == photo.uri }) this else copy(draft = draft.copy(photos = draft.photos + photo))

/** Failed turns that are tried again leave; one that the answer is to take the place of waits in the new one. */
private fun ChatState.asked(event: ChatEvent.Asked): ChatState {
    if (isAnswering) return this
    val isAgain = event.isInstead || draft.isEdit || turns.lastOrNull()?.question == event.question
    val kept = if (isAgain) turns.dropLastWhile { it.outcome is Outcome.Failed } else turns
    val replaced = if (event.isInstead) kept.lastOrNull() else null
    val before = if (replaced == null) kept else kept.dropLast(1)
    return copy(turns = before + Turn(event.question, replaces = replaced), draft = Draft())
}

private inline fun ChatState.running(change: (Turn) -> Turn): ChatState =
    if (isAnswering) copy(turns = turns.dropLast(1) + change(turns.last())) else this

private fun ChatState.answered(event: ChatEvent.Answered): ChatState {
    val answer = event.answer
    if (!answer.isKept) return withdrawn()
    val outcome =
        Outcome.Finished(answer.end, answer.boxes, answer.notes, answer.statistics, event.memory, event.thermal)
    return running { Turn(it.question, answer.text, outcome) }
}

private fun ChatState.failed(message: String): ChatState {
    if (!isAnswering) return this
    val turn = turns.last()
    val failed = turn.copy(outcome = Outcome.Failed(message, turn.replaces != null), replaces = null)
    return copy(turns = turns.dropLast(1) + listOfNotNull(turn.replaces) + failed)
}

/** The question goes back to where it was written, unless something else is being written there. */
private fun ChatState.withdrawn(): ChatState {
    if (!isAnswering) return this
    val turn = turns.last()
    val isRegenerated = turn.replaces?.question == turn.question
    return copy(
        turns = turns.dropLast(1) + listOfNotNull(turn.replaces),
        draft = if (draft.isEmpty && !isRegenerated) turn.question.asDraft(turn.replaces != null) else draft,
    )
}

private fun Question.asDraft(isEdit: Boolean): Draft = Draft(text, photos, isEdit)
