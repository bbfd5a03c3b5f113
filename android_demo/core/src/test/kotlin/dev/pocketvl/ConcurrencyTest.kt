package dev.pocketvl

import dev.pocketvl.chat.Answer
import dev.pocketvl.chat.Content
import dev.pocketvl.decoding.StopReason
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.ExperimentalCoroutinesApi
import kotlinx.coroutines.async
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.collect
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.onEach
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.Timeout
import java.io.File
import java.util.concurrent.CountDownLatch
import java.util.concurrent.Executor
import java.util.concurrent.Executors
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.Semaphore
import java.util.concurrent.TimeUnit
import kotlin.concurrent.thread
import kotlin.test.AfterTest
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertIs
import kotlin.test.assertNotNull
import kotlin.test.assertSame
import kotlin.test.assertTrue

/** Who may use a model when, and what is left behind. No test waits for time to pass. */
@Timeout(120)
class ConcurrencyTest {
    private val chats = Chats()
    private val fake = chats.fake.apply { eos = null } // so that answers have all their tokens
    private val model = chats.model()
    private val chat = model.chat()
    private val gate = CountDownLatch(1)
    private val entered = CountDownLatch(1)

    @AfterTest
    fun close() {
        gate.countDown()
        model.close()
    }

    /** The engine waits in its call of that number until the gate is opened. */
    private fun holdDecode(call: Int = 1) {
        fake.onDecode = { if (it == call) hold() }
    }

    private fun hold() {
        entered.countDown()
        check(gate.await(60, TimeUnit.SECONDS))
    }

    private fun refused(block: () -> Unit): String = assertNotNull(assertFailsWith<UsageException> { block() }.message)

    private fun last(events: Flow<Event>): Event = runBlocking { events.toList().last() }

    private fun failure(events: Flow<Event>): String = assertIs<Event.Failed>(last(events)).error.message!!

    private fun assertFree() {
        assertIs<Event.Completed>(last(model.chat().ask("one", tokens(1))))
    }

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
            for (block in listOf<() -> Unit>({ chat.close() }, { chat.reset() }, { chat.conversation = other.conversation })) {
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

    @OptIn(ExperimentalCoroutinesApi::class) // ATOMIC alone runs what is cancelled already
    @Test
    fun `a collector cancelled before it starts asks nothing`() =
        runBlocking {
            val job = launch(start = CoroutineStart.ATOMIC) { chat.ask("one").collect {} }
            job.cancelAndJoin()
            assertEquals(0, fake.text.decoded.get())
            assertFree()
        }

    @Test
    fun `a collector cancelled during vision encodes no further image`() =
        runBlocking {
            fake.onEncode = { if (it == 2) hold() }
            val before = chat.conversation
            val job = launch(Dispatchers.Default) { chat.ask(about(1) + about(2) + about(3), tokens(9)).collect {} }
            entered.await()
            job.cancel()
            gate.countDown()
            job.join()
            assertEquals(2 to 0, fake.vision.encoded.get() to fake.text.decoded.get())
            assertSame(before, chat.conversation)
            val again = chat.askBlocking(about(1) + about(2) + about(3), tokens(2))
            assertEquals(1 to 2, again.statistics.imagesEncoded to again.statistics.imagesCached)
        }

    @Test
    fun `a collector cancelled during prefill feeds no further chunk`() =
        runBlocking {
            holdDecode(2)
            val question = "many words that make a long question ".repeat(12)
            val job = launch(Dispatchers.Default) { chat.ask(question, tokens(9)).collect {} }
            entered.await()
            job.cancel()
            gate.countDown()
            job.join()
            assertEquals(2, fake.text.decoded.get())
            assertEquals(0, chat.conversation.messages.size)
            val again = chat.askBlocking(question, tokens(2)) // what was fed is not fed again
            assertEquals(2 * chats.prefillChunk, again.statistics.reusedTokens)
        }

    @Test
    fun `a collector cancelled during the answer stops it within a token, and what was said stays`() =
        runBlocking {
            val prefill = -(-chat.countTokens(Content.Parts("one two")) / chats.prefillChunk)
            holdDecode(prefill + 3)
            val job = launch(Dispatchers.Default) { chat.ask("one two", tokens(90)).collect {} }
            entered.await()
            job.cancel()
            gate.countDown()
            job.join()
            assertEquals(prefill + 3, fake.text.decoded.get())
            assertEquals(2, chat.conversation.messages.size)
            assertEquals(4, chat.conversation.feed.size - chat.conversation.answerStart)
            assertTrue(chat.askBlocking("two", tokens(2)).statistics.reusedTokens >= chat.conversation.before!!.feed.size - 1)
        }

    @Test
    fun `cancel ends the answer with a completed event, from any thread`() {
        holdDecode(4)
        val answer = CompletableDeferred<List<Event>>()
        val asking = thread { answer.complete(runBlocking { chat.ask("one", tokens(90)).toList() }) }
        entered.await()
        thread { chat.cancel() }.join()
        gate.countDown()
        asking.join()
        val completed = assertIs<Event.Completed>(runBlocking { answer.await() }.last()).answer
        assertEquals(StopReason.CANCELLED, completed.stopReason)
        assertTrue(completed.tokenIds.size in 1..4)
        assertEquals(completed.tokenIds.size, chat.conversation.feed.size - chat.conversation.answerStart)
        chat.cancel() // without an answer it does nothing
        assertEquals(StopReason.LENGTH, chat.askBlocking("two", tokens(1)).stopReason)
    }

    @Test
    fun `cancel right after asking is not lost`() {
        val permits = Semaphore(0)
        repeat(50) {
            val before = fake.text.decoded.get()
            fake.onDecode = { if (it == before + 1) permits.acquire() }
            runBlocking {
                val events = async(start = CoroutineStart.UNDISPATCHED) { chat.ask("one", tokens(90)).toList() }
                chat.cancel()
                permits.release()
                val answer = assertIs<Event.Completed>(events.await().last()).answer
                assertEquals(StopReason.CANCELLED, answer.stopReason)
            }
            permits.drainPermits()
            assertTrue(fake.text.decoded.get() - before < 3)
        }
        assertEquals(0, chat.conversation.messages.size)
    }

    @Test
    fun `an exception of the collector is the one that it gets, and the model is free then`() {
        class Own : Exception()
        repeat(3) { number ->
            assertFailsWith<Own> {
                runBlocking {
                    chat.ask("one", tokens(90)).collect { if (it is Event.Text) throw Own() }
                }
            }
            assertEquals(2 * (number + 1), chat.conversation.messages.size)
        }
        chat.reset()
        assertFailsWith<Own> { chat.askBlocking("one", tokens(90)) { throw Own() } }
        assertFree()
        chat.reset()
        runBlocking { assertEquals(2, chat.ask("one", tokens(90)).take(2).toList().size) }
        runBlocking { assertIs<Event.Started>(chat.ask("one", tokens(90)).first()) }
        assertFree()
    }

    @Test
    fun `a slow collector misses nothing and holds up nobody`() =
        runBlocking {
            holdDecode()
            val slow = CompletableDeferred<Unit>()
            val events = ArrayList<Event>()
            val job =
                launch(Dispatchers.Default) {
                    chat
                        .ask("one", tokens(30))
                        .onEach { if (it is Event.Started) slow.await() }
                        .collect { events += it }
                }
            entered.await()
            gate.countDown()
            while (true) { // until its answer is made
                val other = model.chat().ask("two", tokens(1)).toList().last()
                if (other is Event.Completed) break
                delay(1)
            }
            assertTrue(events.isEmpty())
            slow.complete(Unit)
            job.join()
            val answer = assertIs<Event.Completed>(events.last()).answer
            assertEquals(answer.text, events.filterIsInstance<Event.Text>().joinToString("") { it.piece })
        }

    @Test
    fun `a thread that waits can be interrupted, and the answer stops first`() {
        holdDecode(4)
        var thrown: Throwable? = null
        val waiting =
            thread {
                try {
                    chat.askBlocking("one", tokens(90))
                } catch (error: InterruptedException) {
                    thrown = error
                }
            }
        entered.await()
        waiting.interrupt()
        waiting.join(200)
        assertTrue(waiting.isAlive) // the engine is in its call still
        gate.countDown()
        waiting.join()
        assertIs<InterruptedException>(thrown)
        assertEquals(2, chat.conversation.messages.size)
        assertFree()
    }

    @Test
    fun `waiting on the model's own thread is refused`() {
        var message: String? = null
        runBlocking(Dispatchers.Unconfined) {
            chat.ask("one", tokens(3)).collect {
                if (it is Event.Completed && Thread.currentThread().name.startsWith("pocketvl")) {
                    message = refused { chat.askBlocking("two") }
                }
            }
        }
        assertContains(message!!, "cannot wait for itself")
        assertFree()
    }

    @Test
    fun `what an engine throws is failed with the text so far, and the conversation is as before`() {
        for (error in listOf(EngineException("broken"), IllegalStateException("odd"), OutOfMemoryError("heap"))) {
            val before = chat.conversation
            val first = fake.text.decoded.get()
            fake.onDecode = { if (it == first + 6) throw error }
            val events = runBlocking { chat.ask("one", tokens(90)).toList() }
            val failed = assertIs<Event.Failed>(events.last())
            assertEquals(events.filterIsInstance<Event.Text>().joinToString("") { it.piece }, failed.text)
            assertTrue(failed.text.isNotEmpty())
            assertContains(assertIs<EngineException>(failed.error).message!!, error.message!!)
            assertSame(before, chat.conversation)
            fake.onDecode = {}
            assertFree()
        }
    }

    private class Recorded(val events: List<Event>, val handle: AnswerHandle)

    private fun ask(
        count: Int = 8,
        cancelAt: Int = Int.MAX_VALUE,
        throwAt: Int = Int.MAX_VALUE,
        onEvent: (Event) -> Unit = {},
        executor: Executor,
    ): Recorded {
        val events = LinkedBlockingQueue<Event>()
        val handles = CompletableDeferred<AnswerHandle>()
        val done = CountDownLatch(1)

        fun add(event: Event) {
            events.add(event)
            onEvent(event)
            if (events.size == cancelAt) {
                runBlocking { handles.await().cancel() }
                gate.countDown()
            }
            if (event.isLast) done.countDown()
            if (events.size == throwAt) {
                done.countDown()
                error("thrown by the listener")
            }
        }
        val listener =
            object : AnswerListener {
                override fun onStarted(promptTokens: Int, reusedTokens: Int) =
                    add(Event.Started(promptTokens, reusedTokens))

                override fun onText(piece: String) = add(Event.Text(piece))

                override fun onCompleted(answer: Answer) = add(Event.Completed(answer))

                override fun onFailed(error: PocketVLException, text: String) = add(Event.Failed(error, text))
            }
        val handle = chat.ask(Content.Parts("one"), listener, executor, tokens(count))
        handles.complete(handle)
        check(done.await(60, TimeUnit.SECONDS))
        return Recorded(events.toList(), handle)
    }

    @Test
    fun `a listener gets the same events, one last among them, in order on its executor`() {
        val executor = Executors.newSingleThreadExecutor { Thread(it, "listener").apply { isDaemon = true } }
        val expected = runBlocking { chat.ask("one", tokens(8)).toList() }
        chat.reset()
        val found = ask(executor = executor).events
        assertEquals(expected.filterIsInstance<Event.Text>(), found.filterIsInstance<Event.Text>())
        assertEquals(1, found.count { it.isLast })
        assertTrue(found.last().isLast)
        val first = fake.text.decoded.get()
        fake.onDecode = { if (it == first + 5) hold() }
        val cancelled = ask(count = 90, cancelAt = 3, executor = executor)
        assertEquals(StopReason.CANCELLED, assertIs<Event.Completed>(cancelled.events.last()).answer.stopReason)
        cancelled.handle.cancel() // a second time, and after the end
        executor.shutdown()
    }

    @Test
    fun `a listener that throws gets no further call, and the model is free`() {
        val uncaught = CompletableDeferred<Throwable>()
        val executor =
            Executors.newSingleThreadExecutor {
                Thread(it).apply {
                    isDaemon = true
                    setUncaughtExceptionHandler { _, error -> uncaught.complete(error) }
                }
            }
        val found = ask(count = 90, throwAt = 2, executor = executor).events
        assertEquals("thrown by the listener", runBlocking { withTimeout(60_000) { uncaught.await() } }.message)
        assertEquals(2, found.size)
        while (last(model.chat().ask("x", tokens(1))) is Event.Failed) Thread.yield()
        executor.shutdown()
    }

    @Test
    fun `a listener's answer that is cancelled before it starts is completed without a token`() {
        val tasks = LinkedBlockingQueue<Runnable>()
        val done = CompletableDeferred<Answer>()
        val listener =
            object : AnswerListener {
                override fun onText(piece: String) = error("nothing is said")

                override fun onCompleted(answer: Answer) {
                    done.complete(answer)
                }

                override fun onFailed(error: PocketVLException, text: String) = throw error
            }
        chat.ask(Content.Parts("one"), listener, { tasks.add(it) }, tokens(9)).cancel()
        while (!done.isCompleted) tasks.poll(10, TimeUnit.MILLISECONDS)?.run()
        val answer = runBlocking { done.await() }
        assertEquals(StopReason.CANCELLED to 0, answer.stopReason to answer.tokenIds.size)
        assertEquals(0, fake.text.decoded.get())
    }

    @Test
    fun `a thousand quick answers and cancels leave no thread and no claim behind`() {
        val before = threads()
        repeat(10) { round ->
            val model = chats.model(chats.engine().apply { eos = null })
            val chat = model.chat()
            runBlocking {
                repeat(100) { number ->
                    val job =
                        launch(if (number % 2 == 0) Dispatchers.Default else Dispatchers.Unconfined) {
                            chat.ask("one", tokens(40)).take(1 + number % 5).collect {}
                        }
                    if (number % 3 == 0) chat.cancel()
                    if (number % 7 == 0) job.cancel()
                    job.join()
                    if (number % 3 == 0) chat.reset()
                }
            }
            chat.reset()
            assertIs<Event.Completed>(last(chat.ask("one", tokens(1))), "round $round")
            model.close()
        }
        // A thread ends a moment after its executor is shut down.
        val end = System.nanoTime() + TimeUnit.SECONDS.toNanos(20)
        while (threads() > before && System.nanoTime() < end) Thread.yield()
        assertEquals(before, threads())
    }

    private fun threads(): Int = Thread.getAllStackTraces().keys.count { it.name.startsWith("pocketvl") && it.isAlive }

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
            assertFailsWith<BundleException> { PocketVL.awaitLoad(File(chats.folder, "none"), { _, _ -> closed.engine }) }
            assertFailsWith<CancellationException> {
                withTimeout(0) { PocketVL.awaitLoad(File(chats.folder, "none"), { _, _ -> closed.engine }) }
            }
        }
        assertFalse(chat.conversation.messages.isNotEmpty())
    }
}
