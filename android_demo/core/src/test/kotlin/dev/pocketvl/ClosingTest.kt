package dev.pocketvl

import dev.pocketvl.chat.Content
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.flow.collect
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import java.io.File
import java.util.concurrent.Semaphore
import kotlin.concurrent.thread
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertIs

/** Who may use a model when, and who is refused. */
class ClosingTest : Concurrent() {
    @Test
    fun `whatever is asked while an answer runs is refused, and the answer is made`() =
        runBlocking {
            holdDecode()
            val answer = async(Dispatchers.Default) { chat.ask("one two", tokens(5)).toList() }
            entered.await()
            val other = model.chat()
            assertContains(failure(other.ask("three")), "answering already")
            assertContains(failure(chat.ask("three")), "answering already")
            for (block in listOf<() -> Unit>(
                { other.askBlocking("three") },
                { chat.regenerateBlocking() },
                { model.close() },
                { model.releaseText() },
                { chat.save(File(chats.folder, "saved")) },
                { model.loadChat(File(chats.folder, "saved")) },
            )) {
                assertContains(refused(block), "answering already")
            }
            for (block in listOf<() -> Unit>({ chat.close() }, { chat.reset() }, {
                chat.conversation =
                    other.conversation
            })) {
                assertContains(refused(block), "This chat is answering")
            }
            other.reset()
            gate.countDown()
            assertEquals(1, answer.await().count { it.isLast })
            assertIs<Event.Completed>(answer.await().last())
            assertFree()
        }

    @Test
    fun `close from a collector, a callback and a listener is refused`() {
        val said = ArrayList<String>()
        val permits = Semaphore(0)

        fun tryToClose(event: Event) {
            if (event !is Event.Text || said.isNotEmpty()) return
            said += refused { model.close() }
            said += refused { chat.close() }
            permits.release(1000)
        }

        fun check(ask: () -> Unit) {
            said.clear()
            permits.drainPermits()
            val first = fake.text.decoded.get()
            fake.onDecode = { if (it > first + 4) permits.acquire() }
            ask()
            assertContains(said[0], "answering already")
            assertContains(said[1], "This chat is answering")
        }
        // Those of Unconfined and of direct executors are called on the model's own thread.
        check { runBlocking { chat.ask("one", tokens(8)).collect { tryToClose(it) } } }
        check { runBlocking(Dispatchers.Unconfined) { chat.ask("one", tokens(8)).collect { tryToClose(it) } } }
        check { chat.askBlocking("one", tokens(8)) { tryToClose(Event.Text(it)) } }
        check { ask(onEvent = { tryToClose(it) }) { it.run() } }
    }

    @Test
    fun `a collector may ask again and close once its answer is completed`() =
        runBlocking {
            var answers = 0
            chat.ask("one", tokens(3)).collect { event ->
                if (event is Event.Completed) {
                    assertIs<Event.Completed>(chat.ask("two", tokens(3)).toList().last())
                    chat.askBlocking("three", tokens(3))
                    answers = chat.conversation.messages.size / 2
                    model.close()
                }
            }
            assertEquals(3, answers)
        }

    @Test
    fun `a closed model and a closed chat refuse everything, with a sentence`() {
        val closed = model.chat()
        closed.close()
        closed.close()
        val all =
            listOf<(Chat) -> Unit>(
                { it.askBlocking("one") },
                { it.regenerateBlocking() },
                { it.countTokens(Content.Parts("one")) },
                { it.measureImage(image(1)) },
                { it.encodeImage(image(1)) },
                { it.reset() },
                { it.conversation = it.conversation },
                { it.save(File(chats.folder, "saved")) },
                { it.live() },
                { it.see(image(1)) },
            )
        for (block in all) assertContains(refused { block(closed) }, "This chat is closed")
        assertContains(failure(closed.ask("one")), "This chat is closed")
        chat.askBlocking("one", tokens(2))
        model.close()
        model.close()
        for (block in all.take(8)) assertContains(refused { block(chat) }, "This model is closed")
        assertContains(failure(chat.ask("one")), "This model is closed")
        assertContains(failure(chat.regenerate()), "This model is closed")
        for (block in listOf<() -> Unit>(
            { model.chat() },
            { model.releaseVision() },
            { model.releaseText() },
            { model.loadChat(File("saved")) },
        )) {
            assertContains(refused(block), "This model is closed")
        }
        assertEquals(2, chat.conversation.messages.size)
        assertEquals(1, fake.text.closed.get())
        chat.cancel()
        chat.close()
    }

    @Test
    fun `collecting twice asks twice`() {
        val events = chat.ask("one", tokens(2))
        assertEquals(0, fake.text.decoded.get())
        repeat(2) { assertIs<Event.Completed>(last(events)) }
        assertEquals(4, chat.conversation.messages.size)
    }

    @Test
    fun `of two collectors at once one is refused`() =
        runBlocking {
            holdDecode()
            val events = chat.ask("one", tokens(3))
            val first = async(Dispatchers.Default) { events.toList() }
            entered.await()
            val second = events.toList()
            gate.countDown()
            assertContains(assertIs<Event.Failed>(second.single()).error.message!!, "answering already")
            assertIs<Event.Completed>(first.await().last())
            assertEquals(2, chat.conversation.messages.size)
        }

    @Test
    fun `images are encoded while an answer is made, and hold off closing`() {
        fake.onEncode = { hold() }
        val encoding = thread { chat.encodeImage(image(1)) }
        entered.await()
        assertIs<Event.Completed>(last(model.chat().ask("one", tokens(3))))
        assertContains(refused { model.close() }, "encoding an image")
        gate.countDown()
        encoding.join()
        model.close()
    }

    @Test
    fun `loading in vain closes the engine, and can be cancelled`() {
        runBlocking {
            val closed = chats.engine()
            File(chats.folder, Names.TOKENIZER_FILE).writeText("{}")
            assertFailsWith<BundleException> { Model(chats.bundle, closed.engine) }
            assertEquals(1, closed.text.closed.get())
            assertFailsWith<BundleException> {
                PocketVL.awaitLoad(
                    File(chats.folder, "none"),
                    { _, _ -> closed.engine },
                )
            }
            assertFailsWith<CancellationException> {
                withTimeout(0) { PocketVL.awaitLoad(File(chats.folder, "none"), { _, _ -> closed.engine }) }
            }
        }
        assertFalse(chat.conversation.messages.isNotEmpty())
    }
}
