package dev.pocketvl.presentation.chat

import dev.pocketvl.decoding.StopReason
import dev.pocketvl.presentation.INT4
import dev.pocketvl.presentation.finished
import dev.pocketvl.presentation.model.ModelState
import dev.pocketvl.presentation.model.Question
import dev.pocketvl.presentation.photo
import dev.pocketvl.text.Box
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertNull
import kotlin.test.assertTrue

class ChatStateTest {
    private val ready = ChatState(model = ModelState.Ready(INT4))
    private val cat = photo("cat")
    private val dog = photo("dog")

    @Test
    fun `a question needs a model and a text`() {
        assertFalse(ready.canSend)
        assertFalse(ready.after(ChatEvent.Typed("  ")).canSend)
        assertTrue(ready.after(ChatEvent.Typed("What?")).canSend)
        assertFalse(ChatState().after(ChatEvent.Typed("What?")).canSend)
        assertFalse(ready.after(ChatEvent.Attached(cat)).canSend)
    }

    @Test
    fun `images are attached once and taken away`() {
        val two = ready.after(ChatEvent.Attached(cat)).after(ChatEvent.Attached(dog)).after(ChatEvent.Attached(cat))
        assertEquals(listOf(cat, dog), two.draft.photos)
        assertEquals(listOf(dog), two.after(ChatEvent.Detached(cat.uri)).draft.photos)
    }

    @Test
    fun `an answer streams in and ends`() {
        val asked = ready.after(ChatEvent.Typed("What?")).ask("What?")
        assertTrue(asked.isAnswering && asked.canStop && !asked.canSend && !asked.canRegenerate && !asked.canEdit)
        assertTrue(asked.draft.isEmpty)
        val partial = asked.after(ChatEvent.Said("A ")).after(ChatEvent.Said("cat"))
        assertEquals("A cat", partial.turns.single().answer)
        val done = partial.answer("A cat.")
        assertEquals("A cat.", done.turns.single().answer)
        assertTrue(done.canRegenerate && done.canEdit && !done.canStop)
    }

    @Test
    fun `a failed answer keeps what was said and leaves the conversation`() {
        val failed = ready.ask("What?").after(ChatEvent.Said("A c")).after(ChatEvent.AnswerFailed("No memory."))
        assertEquals(
            Turn(Question("What?"), "A c", Outcome.Failed("No memory.", isInstead = false)),
            failed.turns.single(),
        )
        assertFalse(failed.isAnswering)
    }

    @Test
    fun `a failed question that is asked again is there once`() {
        val again = ready.ask("What?").after(ChatEvent.AnswerFailed("No.")).ask("What?")
        assertEquals(listOf(Turn(Question("What?"))), again.turns)
    }

    @Test
    fun `another question leaves the failed one on the screen`() {
        val other = ready.ask("What?").after(ChatEvent.AnswerFailed("No.")).ask("Who?")
        assertEquals(listOf("What?", "Who?"), other.turns.map { it.question.text })
    }

    @Test
    fun `a failed question that is edited leaves`() {
        val failed = ready.ask("Waht?").after(ChatEvent.AnswerFailed("No."))
        val edited = failed.after(ChatEvent.EditBegan).ask("What?")
        assertEquals(listOf("What?"), edited.turns.map { it.question.text })
    }

    @Test
    fun `an edited question takes the place of the last`() {
        val first =
            ready
                .ask("One?")
                .answer("1")
                .ask("Two?")
                .answer("2")
        val editing = first.after(ChatEvent.EditBegan)
        assertEquals(Draft("Two?", isEdit = true), editing.draft)
        assertFalse(editing.canRegenerate)
        val edited = editing.instead("Three?").answer("3")
        assertEquals(listOf("One?" to "1", "Three?" to "3"), edited.turns.map { it.question.text to it.answer })
    }

    @Test
    fun `an edit that fails brings back what was there`() {
        val first = ready.ask("One?").answer("1")
        val failed = first.instead("Two?").after(ChatEvent.Said("Tw")).after(ChatEvent.AnswerFailed("No."))
        assertEquals(listOf("One?" to "1", "Two?" to "Tw"), failed.turns.map { it.question.text to it.answer })
        assertEquals(Outcome.Failed("No.", isInstead = true), failed.turns.last().outcome)
        assertNull(failed.turns.last().replaces)
        val again = failed.instead("Two?").answer("2")
        assertEquals(listOf("Two?" to "2"), again.turns.map { it.question.text to it.answer })
    }

    @Test
    fun `dropping an edit empties the draft, but no other draft`() {
        assertEquals(
            Draft(),
            ready
                .ask("One?")
                .answer("1")
                .after(ChatEvent.EditBegan)
                .after(ChatEvent.EditDropped)
                .draft,
        )
        assertEquals(
            "Hm",
            ready
                .after(ChatEvent.Typed("Hm"))
                .after(ChatEvent.EditDropped)
                .draft.text,
        )
    }

    @Test
    fun `what was stopped before its first token goes back to be written`() {
        val asked = ready.after(ChatEvent.Attached(cat)).ask("What?", cat)
        val stopped = asked.answer("", isKept = false)
        assertEquals(emptyList(), stopped.turns)
        assertEquals(Draft("What?", listOf(cat)), stopped.draft)
    }

    @Test
    fun `a new draft is not overwritten by a question that goes back`() {
        val stopped = ready.ask("What?").after(ChatEvent.Typed("Who")).after(ChatEvent.Withdrawn)
        assertEquals("Who", stopped.draft.text)
    }

    @Test
    fun `an answer made anew and stopped at once is as it was`() {
        val before = ready.ask("What?").answer("A cat.")
        val after = before.instead("What?").after(ChatEvent.Withdrawn)
        assertEquals(before, after)
    }

    @Test
    fun `a stopped edit is an edit again`() {
        val stopped =
            ready
                .ask("One?")
                .answer("1")
                .instead("Two?")
                .after(ChatEvent.Withdrawn)
        assertEquals(Draft("Two?", isEdit = true), stopped.draft)
        assertEquals("1", stopped.turns.single().answer)
    }

    @Test
    fun `events of an answer that is over change nothing`() {
        val done = ready.ask("What?").answer("A cat.")
        val late = listOf(ChatEvent.Said("!"), ChatEvent.AnswerFailed("No."), ChatEvent.Withdrawn)
        for (event in late) assertEquals(done, done.after(event), "$event")
        assertEquals(done, done.answer("again"))
    }

    @Test
    fun `a second question while an answer is made changes nothing`() {
        val asked = ready.ask("What?")
        assertEquals(asked, asked.ask("Who?"))
    }

    @Test
    fun `boxes belong to the images of the conversation`() {
        val turns =
            ready
                .ask("One?", cat)
                .answer("1")
                .ask("Lost?", photo("lost"))
                .after(ChatEvent.AnswerFailed("No."))
                .ask("Two?", dog)
                .answer("2")
        val index = turns.turns.lastIndex
        assertEquals(cat, turns.photoOf(index, box(0)))
        assertEquals(dog, turns.photoOf(index, box(1)))
        assertNull(turns.photoOf(index, box(2)))
        assertNull(turns.photoOf(0, box(1)), "an image that came later")
    }

    private fun box(image: Int) = Box("", image, 0.0, 0.0, 1.0, 1.0)

    private fun ChatState.ask(text: String, vararg photos: dev.pocketvl.presentation.platform.Photo) =
        after(ChatEvent.Asked(Question(text, photos.toList()), isInstead = false))

    private fun ChatState.instead(text: String) = after(ChatEvent.Asked(Question(text), isInstead = true))

    private fun ChatState.answer(text: String, isKept: Boolean = true) =
        after(ChatEvent.Answered(finished(text, StopReason.STOP, isKept), null, null))
}
