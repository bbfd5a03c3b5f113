package dev.pocketvl

import dev.pocketvl.chat.Answer
import dev.pocketvl.chat.Cancellation
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.channels.consumeEach
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.FlowCollector
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.launch
import kotlinx.coroutines.suspendCancellableCoroutine
import kotlinx.coroutines.withContext
import java.io.Closeable
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.ThreadPoolExecutor
import java.util.concurrent.TimeUnit

/** Makes an answer in the calling thread; what it passes on are events before the last. */
internal typealias AnswerWork = (Cancellation, (Event) -> Unit) -> Answer

/** Takes the model for one answer, until what it returns is closed. Throws [UsageException]. */
internal typealias Claim = (Cancellation) -> Closeable

/**
 * Runs the answers of one model on a thread of its own, and hands their events over.
 *
 * Events wait in a queue without a bound (an answer has so many tokens at most), so that the model is free once the
 * answer is made, however slow the collector is. The last event is sent after that.
 */
internal class AnswerRunner {
    @Volatile
    private var thread: Thread? = null

    // One thread, which ends after half a minute without work: a model that nobody closes leaves none behind.
    private val executor =
        ThreadPoolExecutor(1, 1, IDLE_SECONDS, TimeUnit.SECONDS, LinkedBlockingQueue()) { work ->
            Thread(work, "pocketvl").apply { isDaemon = true }.also { thread = it }
        }.apply { allowCoreThreadTimeOut(true) }

    /** Cold: each collection makes an answer. [cancellation] and [claim] are called once per collection. */
    fun events(cancellation: () -> Cancellation, claim: Claim, work: AnswerWork): Flow<Event> =
        flow {
            currentCoroutineContext().ensureActive()
            val events = Channel<Event>(Channel.UNLIMITED)
            val cancelled = cancellation()
            coroutineScope {
                // Before the work begins: a cancellation in between would wait for the collector's thread.
                val watch = launch(start = CoroutineStart.UNDISPATCHED) { untilCancelled { cancelled.cancel() } }
                try {
                    val refused =
                        start(cancelled, claim, work) { event ->
                            events.trySend(event).getOrThrow()
                            if (event.isLast) events.close()
                        }
                    if (refused == null) passOn(events, cancelled) else emit(Event.Failed(refused, ""))
                } finally {
                    watch.cancel()
                }
            }
        }

    /**
     * Waits for the answer; [onText] is called in this thread. If it throws, or the thread is interrupted, the
     * answer is stopped first. Throws what [work] throws.
     */
    fun await(claim: Claim, onText: TextListener?, work: AnswerWork): Answer {
        if (Thread.currentThread() === thread) {
            throw UsageException(
                "This is the model's own thread, which cannot wait for itself; collect on another dispatcher.",
            )
        }
        val cancellation = Cancellation()
        val events = LinkedBlockingQueue<Event>()
        start(cancellation, claim, work) { events.add(it) }?.let { throw it }
        var thrown: Throwable? = null
        while (true) {
            val event =
                try {
                    events.take()
                } catch (interrupted: InterruptedException) {
                    thrown = thrown ?: interrupted
                    cancellation.cancel()
                    continue
                }
            when (event) {
                is Event.Started -> {}

                is Event.Text -> {
                    if (thrown == null) {
                        try {
                            onText?.onText(event.piece)
                        } catch (error: Throwable) {
                            // whatever the listener throws
                            thrown = error
                            cancellation.cancel()
                        }
                    }
                }

                is Event.Completed -> {
                    thrown?.let { throw it }
                    return event.answer
                }

                is Event.Failed -> {
                    throw thrown ?: event.error
                }
            }
        }
    }

    /** Ends the thread; nothing is started afterwards. */
    fun close() {
        executor.shutdown()
    }

    /** Why the answer cannot be made, or null: then [send] gets its events, the last one when the model is free. */
    private fun start(
        cancellation: Cancellation,
        claim: Claim,
        work: AnswerWork,
        send: (Event) -> Unit,
    ): UsageException? {
        val claimed =
            try {
                claim(cancellation)
            } catch (refused: UsageException) {
                return refused
            }
        val said = StringBuilder()
        val job = {
            val last =
                try {
                    val answer =
                        work(cancellation) { event ->
                            if (event is Event.Text) said.append(event.piece)
                            send(event)
                        }
                    Event.Completed(answer)
                } catch (error: Throwable) {
                    // also memory that is used up, and faults of an engine
                    Event.Failed(asPocketVL(error), said.toString())
                } finally {
                    claimed.close()
                }
            send(last)
        }
        try {
            executor.execute(job)
        } catch (error: Throwable) {
            // no memory for a thread
            claimed.close()
            throw error
        }
        return null
    }

    private companion object {
        const val IDLE_SECONDS = 30L
    }
}

/** The collector returns only when the model is free again, whatever ended it. */
private suspend fun FlowCollector<Event>.passOn(events: Channel<Event>, cancelled: Cancellation) {
    try {
        for (event in events) emit(event)
    } finally {
        cancelled.cancel()
        withContext(NonCancellable) { events.consumeEach {} }
    }
}

/** Calls [block] in the thread that cancels, at once: that of the coroutine may be busy. */
private suspend fun untilCancelled(block: () -> Unit): Unit =
    suspendCancellableCoroutine { waiting -> waiting.invokeOnCancellation { block() } }

internal val Event.isLast: Boolean get() = this is Event.Completed || this is Event.Failed

private fun asPocketVL(error: Throwable): PocketVLException =
    error as? PocketVLException
        ?: EngineException(
            "The answer failed ($error); close other apps where memory is short, else report this.",
            error,
        )
