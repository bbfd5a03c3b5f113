package dev.pocketvl.presentation.chat

import dev.pocketvl.EngineException
import dev.pocketvl.decoding.StopReason
import dev.pocketvl.presentation.COOL
import dev.pocketvl.presentation.ROOMY
import dev.pocketvl.presentation.SMALL
import dev.pocketvl.presentation.finished
import dev.pocketvl.presentation.model.AnswerEvent.Completed
import dev.pocketvl.presentation.model.AnswerEvent.Failed
import dev.pocketvl.presentation.model.AnswerEvent.Piece
import dev.pocketvl.presentation.model.ModelState
import dev.pocketvl.presentation.occupy
import kotlinx.coroutines.CompletableDeferred
import org.junit.jupiter.api.io.TempDir
import java.io.File
import kotlin.test.BeforeTest
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertIs
import kotlin.test.assertNull

/** What the user does, and what comes of it. */
class ChatViewModelTest {
    @TempDir
    lateinit var folder: File
    private lateinit var app: ChatApp

    @BeforeTest
    fun start() {
        app = ChatApp(folder)
    }

    @Test
    fun `a question with two images is answered piece by piece`() {
        app.begin()
        app.run { attach(listOf("content://cat", "content://dog")) }
        app.ask(" What are these? ")
        assertContains(app.source.log, "ask What are these?[cat, dog]")
        app.say(Piece("A "), Piece("cat"))
        assertEquals(
            "A cat",
            app.state.turns
                .single()
                .answer,
        )
        app.say(Completed(finished("A cat and a dog.")))
        val outcome =
            assertIs<Outcome.Finished>(
                app.state.turns
                    .single()
                    .outcome,
            )
        assertEquals(ROOMY, outcome.memory)
        assertEquals(COOL, outcome.thermal)
        assertEquals(
            "A cat and a dog.",
            app.state.turns
                .single()
                .answer,
        )
    }

    @Test
    fun `an image that is gone is told of, the others stay`() {
        app.run { attach(listOf("content://gone", "content://cat")) }
        assertEquals(
            listOf("cat"),
            app.state.draft.photos
                .map { it.name },
        )
        assertEquals("content://gone is not there any more.", app.state.notice)
        app.run { noticeShown() }
        assertNull(app.state.notice)
    }

    @Test
    fun `nothing is sent without a model or while an answer is made`() {
        app.ask("What?")
        assertEquals(emptyList(), app.state.turns)
        app.begin()
        app.run { send() }
        app.ask("Who?")
        assertEquals(1, app.source.log.count { it.startsWith("ask") })
        assertEquals("Who?", app.state.draft.text)
    }

    @Test
    fun `stop ends the answer through the model, which keeps what was said`() {
        app.begin()
        app.ask("What?")
        app.say(Piece("A"))
        app.run { stop() }
        assertContains(app.source.log, "stop")
        app.say(Completed(finished("A", StopReason.CANCELLED)))
        assertEquals(
            StopReason.CANCELLED,
            assertIs<Outcome.Finished>(
                app.state.turns
                    .single()
                    .outcome,
            ).end,
        )
    }

    @Test
    fun `stop before the model is free gives the question back`() {
        app.begin()
        val gate = CompletableDeferred<Unit>()
        app.scope.occupy(app.holder, gate)
        app.run()
        app.ask("What?")
        app.run { stop() }
        assertEquals("What?", app.state.draft.text)
        gate.complete(Unit)
        app.run()
        assertFalse(app.source.log.any { it.startsWith("ask") })
    }

    @Test
    fun `a failure keeps the text so far, and the question can be asked again`() {
        app.begin()
        app.ask("What?")
        app.say(Piece("A c"), Failed("The engine failed; try again."))
        val turn = app.state.turns.single()
        assertEquals("A c", turn.answer)
        assertEquals(Outcome.Failed("The engine failed; try again.", isInstead = false), turn.outcome)
        app.run { regenerate() }
        app.say(Completed(finished("A cat.")))
        assertEquals(listOf("A cat."), app.state.turns.map { it.answer })
        assertEquals(2, app.source.log.count { it == "ask What?[]" })
    }

    @Test
    fun `an error that the model throws fails the answer, not the app`() {
        app.begin()
        app.chat.answers.events
            .close(OutOfMemoryError())
        app.ask("What?")
        assertContains(
            assertIs<Outcome.Failed>(
                app.state.turns
                    .single()
                    .outcome,
            ).message,
            "memory ran out",
        )
    }

    @Test
    fun `the last answer is made anew`() {
        app.begin()
        app.ask("What?")
        app.say(Completed(finished("A cat.")))
        app.run { regenerate() }
        assertContains(app.source.log, "regenerate")
        app.say(Completed(finished("A dog.")))
        assertEquals(listOf("A dog."), app.state.turns.map { it.answer })
    }

    @Test
    fun `an edited question is asked instead of the last`() {
        app.begin()
        app.ask("Waht?")
        app.say(Completed(finished("Pardon?")))
        app.run { editLast() }
        app.ask("What?")
        assertContains(app.source.log, "ask instead What?")
        app.say(Failed("No."))
        app.run { regenerate() }
        app.say(Completed(finished("A cat.")))
        assertEquals(2, app.source.log.count { it == "ask instead What?" })
        assertEquals(listOf("What?" to "A cat."), app.state.turns.map { it.question.text to it.answer })
    }

    @Test
    fun `an edited question that had failed follows the conversation`() {
        app.begin()
        app.ask("Waht?")
        app.say(Failed("No."))
        app.run { editLast() }
        app.ask("What?")
        assertContains(app.source.log, "ask What?[]")
        assertEquals(listOf("What?"), app.state.turns.map { it.question.text })
    }

    @Test
    fun `another bundle stops the answer first`() {
        app.begin()
        app.ask("What?")
        app.say(Piece("A"))
        app.holder.choose(SMALL)
        app.run()
        assertContains(app.source.log, "stop")
        assertFalse("close" in app.source.log)
        app.say(Completed(finished("A", StopReason.CANCELLED)))
        assertContains(app.source.log, "load int4-small")
    }

    @Test
    fun `an engine that fails to load is told of`() {
        app.source.failure = EngineException("text_decoder.pte is damaged; copy the bundle again.")
        app.begin()
        assertEquals(
            "text_decoder.pte is damaged; copy the bundle again.",
            assertIs<ModelState.Failed>(app.state.model).message,
        )
    }
}
