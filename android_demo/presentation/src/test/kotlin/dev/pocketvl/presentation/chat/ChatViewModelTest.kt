package dev.pocketvl.presentation.chat

import dev.pocketvl.EngineException
import dev.pocketvl.decoding.StopReason
import dev.pocketvl.presentation.COOL
import dev.pocketvl.presentation.FakeChat
import dev.pocketvl.presentation.FakePhotos
import dev.pocketvl.presentation.FakeSource
import dev.pocketvl.presentation.INT4
import dev.pocketvl.presentation.ManualDispatcher
import dev.pocketvl.presentation.ROOMY
import dev.pocketvl.presentation.SMALL
import dev.pocketvl.presentation.finished
import dev.pocketvl.presentation.model.AnswerEvent.Completed
import dev.pocketvl.presentation.model.AnswerEvent.Failed
import dev.pocketvl.presentation.model.AnswerEvent.Piece
import dev.pocketvl.presentation.model.ModelHolder
import dev.pocketvl.presentation.model.ModelState
import dev.pocketvl.presentation.occupy
import dev.pocketvl.presentation.photo
import dev.pocketvl.presentation.saved.SavedChats
import dev.pocketvl.presentation.saved.SavedState
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import org.junit.jupiter.api.io.TempDir
import java.io.File
import java.io.IOException
import kotlin.test.BeforeTest
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertIs
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue

class ChatViewModelTest {
    @TempDir
    lateinit var folder: File
    private lateinit var app: App
    private val chat: FakeChat get() =
        app.source.models
            .last()
            .chats
            .last()
    private val state: ChatState get() = app.view.state.value

    /** One process of the app; files outlive it. */
    private inner class App {
        val dispatcher = ManualDispatcher()
        val source = FakeSource()
        val scope = CoroutineScope(dispatcher + Job())
        val holder = ModelHolder(source, { ROOMY }, scope, dispatcher)
        val phone = ChatPhone(FakePhotos("cat", "dog"), { ROOMY }, { COOL })
        val view = ChatViewModel(holder, phone, SavedChats(folder), scope, dispatcher)
    }

    @BeforeTest
    fun start() {
        app = App()
    }

    private fun run(action: ChatViewModel.() -> Unit) {
        app.view.action()
        app.dispatcher.run()
    }

    private fun begin(bundle: dev.pocketvl.presentation.platform.InstalledBundle = INT4) {
        app.holder.choose(bundle)
        app.dispatcher.run()
    }

    private fun ask(text: String) =
        run {
            type(text)
            send()
        }

    private fun say(vararg events: dev.pocketvl.presentation.model.AnswerEvent) {
        chat.say(*events)
        app.dispatcher.run()
    }

    @Test
    fun `a question with two images is answered piece by piece`() {
        begin()
        run { attach(listOf("content://cat", "content://dog")) }
        ask(" What are these? ")
        assertContains(app.source.log, "ask What are these?[cat, dog]")
        say(Piece("A "), Piece("cat"))
        assertEquals("A cat", state.turns.single().answer)
        say(Completed(finished("A cat and a dog.")))
        val outcome = assertIs<Outcome.Finished>(state.turns.single().outcome)
        assertEquals(ROOMY, outcome.memory)
        assertEquals(COOL, outcome.thermal)
        assertEquals("A cat and a dog.", state.turns.single().answer)
    }

    @Test
    fun `an image that is gone is told of, the others stay`() {
        run { attach(listOf("content://gone", "content://cat")) }
        assertEquals(listOf("cat"), state.draft.photos.map { it.name })
        assertEquals("content://gone is not there any more.", state.notice)
        run { noticeShown() }
        assertNull(state.notice)
    }

    @Test
    fun `nothing is sent without a model or while an answer is made`() {
        ask("What?")
        assertEquals(emptyList(), state.turns)
        begin()
        run { send() }
        ask("Who?")
        assertEquals(1, app.source.log.count { it.startsWith("ask") })
        assertEquals("Who?", state.draft.text)
    }

    @Test
    fun `stop ends the answer through the model, which keeps what was said`() {
        begin()
        ask("What?")
        say(Piece("A"))
        run { stop() }
        assertContains(app.source.log, "stop")
        say(Completed(finished("A", StopReason.CANCELLED)))
        assertEquals(StopReason.CANCELLED, assertIs<Outcome.Finished>(state.turns.single().outcome).end)
    }

    @Test
    fun `stop before the model is free gives the question back`() {
        begin()
        val gate = CompletableDeferred<Unit>()
        app.scope.occupy(app.holder, gate)
        app.dispatcher.run()
        ask("What?")
        run { stop() }
        assertEquals("What?", state.draft.text)
        gate.complete(Unit)
        app.dispatcher.run()
        assertFalse(app.source.log.any { it.startsWith("ask") })
    }

    @Test
    fun `a failure keeps the text so far, and the question can be asked again`() {
        begin()
        ask("What?")
        say(Piece("A c"), Failed("The engine failed; try again."))
        val turn = state.turns.single()
        assertEquals("A c", turn.answer)
        assertEquals(Outcome.Failed("The engine failed; try again.", isInstead = false), turn.outcome)
        run { regenerate() }
        say(Completed(finished("A cat.")))
        assertEquals(listOf("A cat."), state.turns.map { it.answer })
        assertEquals(2, app.source.log.count { it == "ask What?[]" })
    }

    @Test
    fun `an error that the model throws fails the answer, not the app`() {
        begin()
        chat.answers.events.close(OutOfMemoryError())
        ask("What?")
        assertContains(assertIs<Outcome.Failed>(state.turns.single().outcome).message, "memory ran out")
    }

    @Test
    fun `the last answer is made anew`() {
        begin()
        ask("What?")
        say(Completed(finished("A cat.")))
        run { regenerate() }
        assertContains(app.source.log, "regenerate")
        say(Completed(finished("A dog.")))
        assertEquals(listOf("A dog."), state.turns.map { it.answer })
    }

    @Test
    fun `an edited question is asked instead of the last`() {
        begin()
        ask("Waht?")
        say(Completed(finished("Pardon?")))
        run { editLast() }
        ask("What?")
        assertContains(app.source.log, "ask instead What?")
        say(Failed("No."))
        run { regenerate() }
        say(Completed(finished("A cat.")))
        assertEquals(2, app.source.log.count { it == "ask instead What?" })
        assertEquals(listOf("What?" to "A cat."), state.turns.map { it.question.text to it.answer })
    }

    @Test
    fun `an edited question that had failed follows the conversation`() {
        begin()
        ask("Waht?")
        say(Failed("No."))
        run { editLast() }
        ask("What?")
        assertContains(app.source.log, "ask What?[]")
        assertEquals(listOf("What?"), state.turns.map { it.question.text })
    }

    @Test
    fun `a chat outlives the process`() {
        begin()
        run { attach(listOf("content://cat")) }
        ask("What?")
        say(Completed(finished("A cat.")))
        run {
            save()
            type("And")
            attach(listOf("content://dog"))
        }
        val kept = SavedState.read(app.view.savedState().write())
        assertEquals("/bundles/int4", kept.bundle)

        app = App()
        run { restore(kept) }
        assertEquals(Draft("And", listOf(photo("dog"))), state.draft)
        begin()
        assertContains(app.source.log, "restore chat")
        assertEquals(listOf("A cat."), state.turns.map { it.answer })
        assertEquals(
            listOf(photo("cat")),
            state.turns
                .single()
                .question.photos,
        )
        assertTrue(state.canEdit)
    }

    @Test
    fun `what has not changed is not written again`() {
        begin()
        run { save() }
        ask("What?")
        say(Completed(finished("A cat.")))
        run { save() }
        run { save() }
        assertEquals(1, app.source.log.count { it == "save" })
    }

    @Test
    fun `a saved chat that cannot be read gives a new one and says why`() {
        begin()
        ask("What?")
        say(Completed(finished("A cat.")))
        run { save() }
        assertNotNull(folder.listFiles()?.find { it.name.endsWith(".chat") }).writeText("damaged")
        app = App()
        begin()
        assertEquals("The saved chat is damaged; start a new one.", state.notice)
        assertEquals(emptyList(), state.turns)
        assertTrue(state.model is ModelState.Ready)
    }

    @Test
    fun `a chat that cannot be written stays on the screen`() {
        begin()
        ask("What?")
        say(Completed(finished("A cat.")))
        chat.saveFailure = IOException("No space left on device")
        run { save() }
        assertEquals("IOException: No space left on device", state.notice)
        assertEquals(1, state.turns.size)
    }

    @Test
    fun `each bundle has its own chat`() {
        begin()
        ask("What?")
        say(Completed(finished("A cat.")))
        begin(SMALL)
        assertEquals(emptyList(), state.turns)
        begin()
        assertEquals(listOf("A cat."), state.turns.map { it.answer })
        val order = app.source.log.filter { it in listOf("save", "close", "load int4-small", "restore chat") }
        assertEquals(listOf("save", "close", "load int4-small", "close", "restore chat"), order)
    }

    @Test
    fun `another bundle stops the answer first`() {
        begin()
        ask("What?")
        say(Piece("A"))
        app.holder.choose(SMALL)
        app.dispatcher.run()
        assertContains(app.source.log, "stop")
        assertFalse("close" in app.source.log)
        say(Completed(finished("A", StopReason.CANCELLED)))
        assertContains(app.source.log, "load int4-small")
    }

    @Test
    fun `starting anew forgets what was said and saved`() {
        begin()
        ask("What?")
        say(Completed(finished("A cat.")))
        run { save() }
        run { startAnew() }
        assertEquals(emptyList(), state.turns)
        assertEquals(emptyList(), folder.list().orEmpty().toList())
    }

    @Test
    fun `an engine that fails to load is told of`() {
        app.source.failure = EngineException("text_decoder.pte is damaged; copy the bundle again.")
        begin()
        assertEquals(
            "text_decoder.pte is damaged; copy the bundle again.",
            assertIs<ModelState.Failed>(state.model).message,
        )
    }
}
