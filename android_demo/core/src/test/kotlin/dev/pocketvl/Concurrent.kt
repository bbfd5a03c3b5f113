package dev.pocketvl

import dev.pocketvl.chat.Answer
import dev.pocketvl.chat.Content
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Timeout
import java.util.concurrent.CountDownLatch
import java.util.concurrent.Executor
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit
import kotlin.test.AfterTest
import kotlin.test.assertFailsWith
import kotlin.test.assertIs
import kotlin.test.assertNotNull

/** A model whose engine waits where a test wants it to. */
@Timeout(120)
abstract class Concurrent {
    protected val chats = Chats()
    protected val fake = chats.fake.apply { eos = null } // so that answers have all their tokens
    protected val model = chats.model()
    protected val chat = model.chat()
    protected val gate = CountDownLatch(1)
    protected val entered = CountDownLatch(1)

    @AfterTest
    fun close() {
        gate.countDown()
        model.close()
    }

    /** The engine waits in its call of that number until the gate is opened. */
    protected fun holdDecode(call: Int = 1) {
        fake.onDecode = { if (it == call) hold() }
    }

    protected fun hold() {
        entered.countDown()
        check(gate.await(60, TimeUnit.SECONDS))
    }

    protected fun refused(block: () -> Unit): String =
        assertNotNull(assertFailsWith<UsageException> { block() }.message)

    protected fun last(events: Flow<Event>): Event = runBlocking { events.toList().last() }

    protected fun failure(events: Flow<Event>): String = assertIs<Event.Failed>(last(events)).error.message!!

    protected fun assertFree() {
        assertIs<Event.Completed>(last(model.chat().ask("one", tokens(1))))
    }

    protected class Recorded(val events: List<Event>, val handle: AnswerHandle)

    protected fun ask(
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
}
