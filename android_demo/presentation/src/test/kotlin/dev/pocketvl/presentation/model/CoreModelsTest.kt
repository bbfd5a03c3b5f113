package dev.pocketvl.presentation.model

import dev.pocketvl.Chats
import dev.pocketvl.ConversationException
import dev.pocketvl.ImageException
import dev.pocketvl.UsageException
import dev.pocketvl.decoding.StopReason
import dev.pocketvl.image
import dev.pocketvl.presentation.photo
import dev.pocketvl.presentation.policy.Release
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.io.TempDir
import java.io.File
import kotlin.test.AfterTest
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertIs
import kotlin.test.assertTrue

/** The core's own chat, over an engine of arithmetic. */
class CoreModelsTest {
    @TempDir
    lateinit var folder: File
    private val chats = Chats(maxContext = 2048)
    private val fake = chats.fake
    private val model =
        CoreModel(chats.model(), fake.engine, null) { photo ->
            if (photo.name == "gone") throw ImageException("gone is not there any more.")
            image(photo.name.toInt())
        }

    @AfterTest
    fun close() = model.close()

    private fun ask(chat: ModelChat, text: String, vararg images: Int): FinishedAnswer =
        finish(chat.ask(Question(text, images.map { photo("$it") })))

    private fun finish(events: Flow<AnswerEvent>): FinishedAnswer =
        runBlocking {
            val all = events.toList()
            val answer = assertIs<AnswerEvent.Completed>(all.last()).answer
            assertEquals(answer.text, all.dropLast(1).joinToString("") { assertIs<AnswerEvent.Piece>(it).text })
            answer
        }

    @Test
    fun `questions about images are answered piece by piece`() {
        val answer = ask(model.chat(), "What?", 1, 2)
        assertTrue(answer.isKept)
        assertEquals(2, answer.statistics.imagesEncoded)
    }

    @Test
    fun `a question asked instead of the last is answered as if it had been the first`() {
        val chat = model.chat()
        ask(chat, "What?", 1)
        ask(chat, "And this?", 2)
        val instead = finish(chat.askInstead(Question("And that?", listOf(photo("3")))))

        val other = model.chat()
        ask(other, "What?", 1)
        assertEquals(ask(other, "And that?", 3).text, instead.text)
    }

    @Test
    fun `where it fails the last answer is still there`() {
        val chat = model.chat()
        ask(chat, "What?", 1)
        val failing = Question("And this?", listOf(photo("gone")))
        runBlocking { assertFailsWith<ImageException> { chat.askInstead(failing).toList() } }
        val next = ask(chat, "Why?")

        val other = model.chat()
        ask(other, "What?", 1)
        assertEquals(ask(other, "Why?").text, next.text)
    }

    @Test
    fun `an answer is made anew`() {
        val chat = model.chat()
        val first = ask(chat, "What?", 1)
        assertEquals(first.text, finish(chat.regenerate()).text)
        assertIs<AnswerEvent.Failed>(runBlocking { model.chat().regenerate().toList() }.single())
    }

    @Test
    fun `stop keeps what was said`() {
        val chat = model.chat()
        fake.eos = null // it would go on for long
        fake.onDecode = { if (it == 6) chat.stop() }
        val answer = ask(chat, "What?")
        fake.onDecode = {}
        assertEquals(StopReason.CANCELLED, answer.end)
        assertTrue(answer.isKept && answer.text.isNotEmpty())
    }

    @Test
    fun `a saved chat goes on as it would have`() {
        val chat = model.chat()
        ask(chat, "What?", 1)
        val file = File(folder, "chat")
        chat.save(file)
        val went = ask(chat, "Why?")
        assertEquals(went.text, ask(model.restore(file), "Why?").text)
        file.writeText("damaged")
        assertFailsWith<ConversationException> { model.restore(file) }
    }

    @Test
    fun `memory is given back step by step and answers stay the same`() {
        val chat = model.chat()
        ask(chat, "What?", 1)
        val first = ask(model.chat(), "What?", 1)
        for (what in Release.entries) model.release(what)
        assertEquals(1, fake.text.closed.get())
        val again = ask(model.chat(), "What?", 1)
        assertEquals(first.text, again.text)
        assertEquals(1, again.statistics.imagesEncoded)
    }

    @Test
    fun `images that were given back are encoded again`() {
        val chat = model.chat()
        ask(chat, "What?", 1)
        assertEquals(1, ask(chat, "And now?", 1).statistics.imagesCached)
        model.release(Release.CACHE)
        assertEquals(1, ask(chat, "And then?", 1).statistics.imagesEncoded)
    }

    @Test
    fun `a live view answers about the frame that it saw last`() {
        val live = model.live()
        live.see(image(1))
        val first = finish(live.ask("What?"))
        live.see(image(2))
        val second = finish(live.ask("What?"))
        assertEquals(2, fake.vision.encoded.get())
        live.see(image(2))
        assertEquals(second.text, finish(live.ask("What?")).text)
        assertEquals(2, fake.vision.encoded.get(), "the same frame is not encoded again")
        assertTrue(first.text != second.text)
        live.close()
        assertEquals(1, fake.vision.released.get())
    }

    @Test
    fun `a live view without a frame says so`() {
        val live = model.live()
        val failed = assertIs<AnswerEvent.Failed>(runBlocking { live.ask("What?").toList() }.single())
        assertEquals("No frame was seen yet; call see() first.", failed.message)
        live.close()
    }

    @Test
    fun `the model is not closed while an answer is made`() {
        val chat = model.chat()
        var refused: Throwable? = null
        fake.onDecode = { if (it == 1) refused = runCatching { model.close() }.exceptionOrNull() }
        ask(chat, "What?")
        assertIs<UsageException>(refused)
    }
}
