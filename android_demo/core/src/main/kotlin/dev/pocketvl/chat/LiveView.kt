package dev.pocketvl.chat

import dev.pocketvl.Chat
import dev.pocketvl.Event
import dev.pocketvl.TextListener
import dev.pocketvl.UsageException
import dev.pocketvl.decoding.StopReason
import dev.pocketvl.media.CHANGED
import dev.pocketvl.media.EncodedImage
import dev.pocketvl.media.ImageSource
import dev.pocketvl.media.RgbImage
import dev.pocketvl.media.Thumbnail
import dev.pocketvl.media.thumbnail
import kotlinx.coroutines.flow.Flow
import java.io.Closeable
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.ThreadPoolExecutor
import java.util.concurrent.TimeUnit
import java.util.concurrent.locks.ReentrantLock
import kotlin.concurrent.withLock

/** How a [LiveView] sees. Throws [UsageException] for what cannot be meant. */
data class LiveOptions
    @JvmOverloads
    constructor(
        /** Frames that stay in the conversation, so that its memory has a bound. */
        val maxFrames: Int = 1,
        /** Earlier turns that stay; null for as many as the context holds. */
        val maxTurns: Int? = null,
        /** The difference in levels that makes a frame another one, see media/Change.kt; 0 encodes them all. */
        val leastChange: Int = CHANGED,
    ) {
        init {
            if (maxFrames < 1 || (maxTurns != null && maxTurns < 0)) {
                throw UsageException("maxFrames must be at least 1, and maxTurns not negative.")
            }
        }
    }

/**
 * What became of frames: [given] by see(), [replaced] by a newer one before the encoder was free, [unchanged]: too
 * like the last that was encoded.
 */
data class FrameCounts(val given: Int = 0, val replaced: Int = 0, val unchanged: Int = 0, val encoded: Int = 0)

/**
 * A camera's newest frame, encoded on a thread of its own while answers are made; see [Chat.live].
 *
 *     val view = model.chat(ChatOptions(keepVision = true)).live()
 *     camera.onFrame { view.see(it) }
 *     view.ask("What do you see?").collect { ... }
 *
 * A question is about the newest frame that was encoded by then: the first question about a frame has it as an image
 * before its text. Older frames leave the conversation, their questions and answers stay; when the context is full,
 * the oldest turns leave, too. What follows a frame that left is fed again, from kept embeddings. Make the chat with
 * keepVision, or the encoder is loaded for each frame.
 */
class LiveView internal constructor(private val chat: Chat, private val options: LiveOptions) : Closeable {
    private val lock = ReentrantLock() // guards all that follows
    private val changed = lock.newCondition()
    private var waiting: ImageSource? = null
    private var seen: EncodedImage? = null
    private var previous: Thumbnail? = null
    private var failure: Exception? = null
    private var isNew = false
    private var isBusy = false
    private var isClosed = false
    private var counted = FrameCounts()

    private var turns: List<LiveTurn> = emptyList() // of the model's thread

    // One thread, which ends after half a minute without a frame.
    private val encoder =
        ThreadPoolExecutor(1, 1, IDLE_SECONDS, TimeUnit.SECONDS, LinkedBlockingQueue()) { work ->
            Thread(work, "pocketvl live view").apply { isDaemon = true }
        }.apply { allowCoreThreadTimeOut(true) }

    /** So far. */
    val counts: FrameCounts get() = lock.withLock { counted }

    /** Whether no frame waits or is being encoded. */
    val isIdle: Boolean get() = lock.withLock { !isBusy }

    val isOpen: Boolean get() = lock.withLock { !isClosed }

    /**
     * Takes a frame and returns at once; from any thread.
     *
     * It waits for the frame that is being encoded, and is dropped if another one comes meanwhile. An [RgbImage] is
     * copied. What is wrong with it is thrown by the next [ask] or [waitForChange]. Throws [UsageException] once
     * closed.
     */
    @Throws(UsageException::class)
    fun see(frame: ImageSource) {
        val own = if (frame is RgbImage) RgbImage(frame.width, frame.height, frame.pixels.copyOf()) else frame
        lock.withLock {
            if (isClosed) throw UsageException("This live view is closed; make a new one.")
            counted =
                counted.copy(given = counted.given + 1, replaced = counted.replaced + if (waiting == null) 0 else 1)
            waiting = own
            if (!isBusy) {
                isBusy = true
                encoder.execute(::encodeWaiting)
            }
        }
    }

    /**
     * Waits until a frame is encoded that no question was about; false after [millis], or once closed. Blocks.
     *
     * Throws what encoding the newest frame threw.
     */
    @Throws(Exception::class)
    fun waitForChange(millis: Long): Boolean {
        val end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(millis)
        lock.withLock {
            while (!isNew && failure == null && !isClosed) {
                val left = end - System.nanoTime()
                if (left <= 0) break
                changed.await(left, TimeUnit.NANOSECONDS)
            }
            throwFailure()
            return isNew && !isClosed
        }
    }

    /**
     * About the newest frame that is encoded; waits for the first one. As [Chat.ask], of which it also fails with
     * what encoding the newest frame threw, and a [UsageException] where none was given.
     */
    fun ask(question: String, options: AskOptions = AskOptions()): Flow<Event> =
        chat.events { cancellation, send -> answer(question, options, cancellation, send) }

    /** As [ask], waiting for the answer as [Chat.askBlocking] does. */
    @JvmOverloads
    @Throws(Exception::class)
    fun askBlocking(question: String, options: AskOptions = AskOptions(), onText: TextListener? = null): Answer =
        chat.await(onText) { cancellation, send -> answer(question, options, cancellation, send) }

    /** Stops the answer in progress, from any thread. */
    fun cancel() = chat.cancel()

    /** Takes no more frames; waits for the one that is being encoded. The chat stays open. */
    override fun close() {
        lock.withLock {
            isClosed = true
            waiting = null
            changed.signalAll()
        }
        encoder.shutdown()
        encoder.awaitTermination(Long.MAX_VALUE, TimeUnit.NANOSECONDS)
    }

    private fun answer(
        question: String,
        options: AskOptions,
        cancellation: Cancellation,
        send: (Event) -> Unit,
    ): Answer {
        val frame = newest(cancellation) ?: return nothing()
        val asked = fitting(frame, question, options.maxTokens)
        val answer = chat.answer(Content.Messages(asMessages(asked)), options, cancellation, send)
        if (answer.tokenIds.isNotEmpty()) turns = asked.dropLast(1) + asked.last().copy(answer = answer.text)
        return answer
    }

    private fun nothing() = Answer("", emptyList(), emptyList(), chat.nextPosition, StopReason.CANCELLED, Statistics())

    /** null if cancelled. */
    private fun newest(cancellation: Cancellation): EncodedImage? =
        lock.withLock {
            if (seen == null && !isBusy && failure == null) {
                throw UsageException("No frame was seen yet; call see() first.")
            }
            while (seen == null && failure == null && !isClosed) {
                if (cancellation.isCancelled) return null
                changed.await(CANCELLED_MILLIS, TimeUnit.MILLISECONDS)
            }
            throwFailure()
            isNew = false
            seen ?: throw UsageException("This live view was closed before its first frame was encoded.")
        }

    private fun throwFailure() {
        failure?.let {
            failure = null
            throw it
        }
    }

    /** The turns so far and the new one, as many as leave room for an answer. */
    private fun fitting(frame: EncodedImage, question: String, maxTokens: Int): List<LiveTurn> {
        val earlier = turns.takeLast(options.maxTurns ?: chat.maxContext)
        var fit = withFrames(earlier + LiveTurn(question, frame), options.maxFrames)
        while (fit.size > 1) {
            val needed = chat.countTokens(Content.Messages(asMessages(fit))).toLong() + maxTokens
            if (needed <= chat.maxContext) break
            fit = withFrames(fit.drop(1), options.maxFrames)
        }
        return fit
    }

    private fun encodeWaiting() {
        while (true) {
            val frame =
                lock.withLock {
                    waiting.also {
                        waiting = null
                        isBusy = it != null
                        changed.signalAll()
                    }
                } ?: return
            var encoded: EncodedImage? = null
            var failed: Exception? = null
            try {
                encoded = encodeChanged(frame)
            } catch (error: Exception) {
                // thrown where the frame is asked about
                failed = error
            }
            lock.withLock {
                failure = failed
                if (encoded != null) {
                    seen = encoded
                    isNew = true
                }
                counted =
                    counted.copy(
                        encoded = counted.encoded + if (encoded != null) 1 else 0,
                        unchanged = counted.unchanged + if (encoded == null && failed == null) 1 else 0,
                    )
                changed.signalAll()
            }
        }
    }

    /** null where the frame shows nothing else than the last one. */
    private fun encodeChanged(frame: ImageSource): EncodedImage? {
        val image = frame as? RgbImage ?: frame.size().let { frame.read(it.height, it.width) }
        val small = thumbnail(image)
        if (previous?.hasChanged(small, options.leastChange) == false) return null
        return chat.encodeImage(image).also { previous = small }
    }

    private companion object {
        const val IDLE_SECONDS = 30L
        const val CANCELLED_MILLIS = 20L
    }
}
