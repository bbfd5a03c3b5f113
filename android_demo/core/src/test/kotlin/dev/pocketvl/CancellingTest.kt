package dev.pocketvl

import dev.pocketvl.chat.Cancellation
import dev.pocketvl.chat.Content
import dev.pocketvl.decoding.StopReason
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.ExperimentalCoroutinesApi
import kotlinx.coroutines.async
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.flow.collect
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.job
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import java.io.Closeable
import java.util.concurrent.Semaphore
import java.util.concurrent.TimeUnit
import kotlin.concurrent.thread
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertIs
import kotlin.test.assertSame
import kotlin.test.assertTrue

/** An answer is stopped, and what is left behind. */
class CancellingTest : Concurrent() {
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
            val prefill = (chat.countTokens(Content.Parts("one two")) + chats.prefillChunk - 1) / chats.prefillChunk
            holdDecode(prefill + 3)
            val job = launch(Dispatchers.Default) { chat.ask("one two", tokens(90)).collect {} }
            entered.await()
            job.cancel()
            gate.countDown()
            job.join()
            assertEquals(prefill + 3, fake.text.decoded.get())
            assertEquals(2, chat.conversation.messages.size)
            assertEquals(4, chat.conversation.feed.size - chat.conversation.answerStart)
            assertTrue(
                chat.askBlocking("two", tokens(2)).statistics.reusedTokens >= chat.conversation.before!!
                    .feed.size - 1,
            )
        }

    @Test
    fun `a collector cancelled while its answer begins stops it at once`() =
        runBlocking {
            val runner = AnswerRunner()
            val heard = CompletableDeferred<Boolean>()
            val job =
                launch(Dispatchers.Default) {
                    val collector = currentCoroutineContext().job
                    val claim: Claim = { cancellation ->
                        collector.cancel()
                        heard.complete(cancellation.isCancelled)
                        Closeable {}
                    }
                    runner.events(::Cancellation, claim) { _, _ -> throw UsageException("nothing to say") }.collect {}
                }
            assertTrue(heard.await())
            job.join()
            runner.close()
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
        runBlocking {
            assertEquals(
                2,
                chat
                    .ask("one", tokens(90))
                    .take(2)
                    .toList()
                    .size,
            )
        }
        runBlocking { assertIs<Event.Started>(chat.ask("one", tokens(90)).first()) }
        assertFree()
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
}
