package dev.pocketvl

import dev.pocketvl.chat.Answer
import dev.pocketvl.chat.Content
import dev.pocketvl.decoding.StopReason
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.collect
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.onEach
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import java.util.concurrent.Executors
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit
import kotlin.concurrent.thread
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertIs
import kotlin.test.assertSame
import kotlin.test.assertTrue

/** How events reach those who listen. */
class ListenerTest : Concurrent() {
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
                val other =
                    model
                        .chat()
                        .ask("two", tokens(1))
                        .toList()
                        .last()
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
    fun `waiting on the model's own thread is refused`() {
        var message: String? = null
        fake.onDecode = { if (message == null) message = refused { chat.askBlocking("two") } }
        chat.askBlocking("one", tokens(3))
        fake.onDecode = {}
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
}
