package dev.pocketvl.presentation.chat

import dev.pocketvl.presentation.SMALL
import dev.pocketvl.presentation.finished
import dev.pocketvl.presentation.model.AnswerEvent.Completed
import dev.pocketvl.presentation.model.ModelState
import dev.pocketvl.presentation.photo
import dev.pocketvl.presentation.saved.SavedState
import org.junit.jupiter.api.io.TempDir
import java.io.File
import java.io.IOException
import kotlin.test.BeforeTest
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertNotNull
import kotlin.test.assertTrue

/** What is still there after the app was ended, or another bundle was chosen. */
class ChatSavingTest {
    @TempDir
    lateinit var folder: File
    private lateinit var app: ChatApp

    @BeforeTest
    fun start() {
        app = ChatApp(folder)
    }

    @Test
    fun `a chat outlives the process`() {
        app.begin()
        app.run { attach(listOf("content://cat")) }
        app.ask("What?")
        app.say(Completed(finished("A cat.")))
        app.run {
            save()
            type("And")
            attach(listOf("content://dog"))
        }
        val kept = SavedState.read(app.saved.write())
        assertEquals("/bundles/int4", kept.bundle)

        app = ChatApp(folder)
        app.run { restore(kept) }
        assertEquals(Draft("And", listOf(photo("dog"))), app.state.draft)
        app.begin()
        assertContains(app.source.log, "restore chat")
        assertEquals(listOf("A cat."), app.state.turns.map { it.answer })
        assertEquals(
            listOf(photo("cat")),
            app.state.turns
                .single()
                .question.photos,
        )
        assertTrue(app.state.canEdit)
    }

    @Test
    fun `what has not changed is not written again`() {
        app.begin()
        app.run { save() }
        app.ask("What?")
        app.say(Completed(finished("A cat.")))
        app.run { save() }
        app.run { save() }
        assertEquals(1, app.source.log.count { it == "save" })
    }

    @Test
    fun `a saved chat that cannot be read gives a new one and says why`() {
        app.begin()
        app.ask("What?")
        app.say(Completed(finished("A cat.")))
        app.run { save() }
        assertNotNull(folder.listFiles()?.find { it.name.endsWith(".chat") }).writeText("damaged")
        app = ChatApp(folder)
        app.begin()
        assertEquals("The saved chat is damaged; start a new one.", app.state.notice)
        assertEquals(emptyList(), app.state.turns)
        assertTrue(app.state.model is ModelState.Ready)
    }

    @Test
    fun `a chat that cannot be written stays on the screen`() {
        app.begin()
        app.ask("What?")
        app.say(Completed(finished("A cat.")))
        app.chat.saveFailure = IOException("No space left on device")
        app.run { save() }
        assertEquals("IOException: No space left on device", app.state.notice)
        assertEquals(1, app.state.turns.size)
    }

    @Test
    fun `each bundle has its own chat`() {
        app.begin()
        app.ask("What?")
        app.say(Completed(finished("A cat.")))
        app.begin(SMALL)
        assertEquals(emptyList(), app.state.turns)
        app.begin()
        assertEquals(listOf("A cat."), app.state.turns.map { it.answer })
        val order = app.source.log.filter { it in listOf("save", "close", "load int4-small", "restore chat") }
        assertEquals(listOf("save", "close", "load int4-small", "close", "restore chat"), order)
    }

    @Test
    fun `starting anew forgets what was said and saved`() {
        app.begin()
        app.ask("What?")
        app.say(Completed(finished("A cat.")))
        app.run { save() }
        app.run { startAnew() }
        assertEquals(emptyList(), app.state.turns)
        assertEquals(emptyList(), folder.list().orEmpty().toList())
    }

    @Test
    fun `an answer that is still made when the app leaves the screen is saved when it is done`() {
        app.begin()
        app.ask("What?")
        app.run { save() }
        assertFalse("save" in app.source.log)
        app.say(Completed(finished("A cat.")))
        assertEquals(1, app.source.log.count { it == "save" })
    }
}
