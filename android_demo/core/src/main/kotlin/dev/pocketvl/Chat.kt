package dev.pocketvl

import dev.pocketvl.chat.Answer
import dev.pocketvl.chat.AskOptions
import dev.pocketvl.chat.Cancellation
import dev.pocketvl.chat.ChatSession
import dev.pocketvl.chat.Content
import dev.pocketvl.chat.Conversation
import dev.pocketvl.chat.LiveOptions
import dev.pocketvl.chat.LiveView
import dev.pocketvl.chat.MeasuredImage
import dev.pocketvl.chat.MeasuredVideo
import dev.pocketvl.chat.Progress
import dev.pocketvl.media.EncodedImage
import dev.pocketvl.media.ImageSource
import dev.pocketvl.text.Part
import dev.pocketvl.text.VideoPart
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.asCoroutineDispatcher
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.launch
import java.io.Closeable
import java.io.File
import java.util.concurrent.Executor

/**
 * A conversation about images and videos. For any thread, one answer at a time; see [Model].
 *
 * A turn that fails leaves the conversation as it was before. One that is stopped stays with what was said until
 * then, if that is a token at least: by [cancel], by a collector that is cancelled or throws, by a listener or
 * callback that throws, by interrupting the thread that waits.
 */
class Chat internal constructor(
    private val session: ChatSession,
    private val gate: ModelGate,
    private val runner: AnswerRunner,
) : Closeable {
    private val lock = Any()
    private var isClosed = false // guarded by lock, as are the next
    private var running: Cancellation? = null
    private var view: LiveView? = null

    /**
     * All that was said, as a value. To fork it, keep it and set it again later; to take the last turn back, set
     * conversation.before. Whatever is set, only what the KV cache lacks of it is fed. Setting it throws
     * [UsageException] while this chat answers.
     */
    var conversation: Conversation
        get() = session.conversation
        set(value) = whileIdle { session.conversation = value }

    /** Rope position that the next token gets. */
    val nextPosition: Int get() = conversation.feed.nextPosition

    /** Tokens that still fit. */
    val freeContext: Int get() = maxOf(0, maxContext - conversation.feed.size)

    /** Tokens that a conversation can have. */
    val maxContext: Int get() = session.maxContext

    /**
     * One turn of the user and its answer, as a cold flow: collecting it asks, collecting it twice asks twice.
     *
     * The answer is made on the model's thread and waits for no collector: events wait in a queue, however slow it
     * is. Cancelling the collector stops the answer before the next token; collecting returns once the model is
     * free again. What goes wrong is [Event.Failed], among it a [UsageException] where the model is answering
     * already or is closed. Throws [UsageException] at once for options that cannot be meant.
     */
    fun ask(content: Content, options: AskOptions = AskOptions()): Flow<Event> {
        session.check(options)
        return events { cancellation, send -> answer(content, options, cancellation, send) }
    }

    fun ask(parts: List<Part>, options: AskOptions = AskOptions()): Flow<Event> = ask(Content.Parts(parts), options)

    fun ask(text: String, options: AskOptions = AskOptions()): Flow<Event> = ask(Content.Parts(text), options)

    /**
     * The same for callers without coroutines: [listener] is called on [executor], such as Android's main executor.
     * Returns at once. Throws [UsageException] for options that cannot be meant.
     */
    @JvmOverloads
    @Throws(UsageException::class)
    fun ask(
        content: Content,
        listener: AnswerListener,
        executor: Executor,
        options: AskOptions = AskOptions(),
    ): AnswerHandle {
        session.check(options)
        val own = Cancellation()
        val events =
            runner.events({ own }, ::claim) { cancellation, send -> answer(content, options, cancellation, send) }
        CoroutineScope(executor.asCoroutineDispatcher()).launch { events.collect { listener.onEvent(it) } }
        return AnswerHandle { own.cancel() }
    }

    /**
     * One turn of the user; waits for its answer and returns it. [onText] is called in this thread with each piece.
     *
     * Throws [UsageException], [ContextException], [ImageException], [PromptException], [EngineException],
     * [BundleException], and [InterruptedException] where this thread is interrupted, once the answer has stopped.
     */
    @JvmOverloads
    @Throws(PocketVLException::class, InterruptedException::class)
    fun askBlocking(content: Content, options: AskOptions = AskOptions(), onText: TextListener? = null): Answer =
        await(onText) { cancellation, send -> answer(content, options, cancellation, send) }

    @JvmOverloads
    @Throws(PocketVLException::class, InterruptedException::class)
    fun askBlocking(parts: List<Part>, options: AskOptions = AskOptions(), onText: TextListener? = null): Answer =
        askBlocking(Content.Parts(parts), options, onText)

    @JvmOverloads
    @Throws(PocketVLException::class, InterruptedException::class)
    fun askBlocking(text: String, options: AskOptions = AskOptions(), onText: TextListener? = null): Answer =
        askBlocking(Content.Parts(text), options, onText)

    /**
     * The last answer made anew: the same question, of which one token is fed. It takes the place of the one before
     * only if it succeeds. Events and exceptions as of [ask].
     */
    fun regenerate(options: AskOptions = AskOptions()): Flow<Event> {
        session.check(options)
        return events { cancellation, send -> session.regenerate(options, cancellation, progress(send)) }
    }

    /** As [regenerate], waiting for the answer as [askBlocking] does. */
    @JvmOverloads
    @Throws(PocketVLException::class, InterruptedException::class)
    fun regenerateBlocking(options: AskOptions = AskOptions(), onText: TextListener? = null): Answer =
        await(onText) { cancellation, send -> session.regenerate(options, cancellation, progress(send)) }

    /** Stops the answer in progress, from any thread; without one it does nothing. What was said so far stays. */
    fun cancel() {
        synchronized(lock) { running?.cancel() }
    }

    /**
     * Of the whole prompt, if [content] were asked; images are read, nothing is encoded. Throws [ImageException],
     * [PromptException], [UsageException].
     */
    @Throws(PocketVLException::class)
    fun countTokens(content: Content): Int = open { session.countTokens(content) }

    /** An image as it would be encoded. Throws [ImageException], [UsageException]. */
    @Throws(PocketVLException::class)
    fun measureImage(image: ImageSource): MeasuredImage = open { session.measureImage(image) }

    /** A video as it would be encoded. Throws [VideoException], [PromptException], [UsageException]. */
    @Throws(PocketVLException::class)
    fun measureVideo(video: VideoPart): MeasuredVideo = open { session.measureVideo(video) }

    /**
     * Encodes an image now, to ask about it later: give it where a message takes an image. From any thread, also
     * while an answer is made; blocks. Without keepVision the encoder is released again.
     *
     * Throws [ImageException], [EngineException], [BundleException], [UsageException].
     */
    @Throws(PocketVLException::class)
    fun encodeImage(image: ImageSource): EncodedImage = gate.encoding { open { session.encodeImage(image) } }

    /**
     * A view of a camera: frames go in by [LiveView.see], questions are about the newest one. The conversation is
     * the view's own until it is closed. Throws [UsageException] where this chat has an open one.
     */
    @JvmOverloads
    @Throws(UsageException::class)
    fun live(options: LiveOptions = LiveOptions()): LiveView =
        synchronized(lock) {
            checkOpen()
            if (view?.isOpen == true) throw UsageException("This chat has a live view already; close that first.")
            LiveView(this, options).also { view = it }
        }

    /** Gives a frame to this chat's live view, which is made if there is none; see [LiveView.see]. */
    @Throws(UsageException::class)
    fun see(frame: ImageSource): LiveView =
        synchronized(lock) { view?.takeIf { it.isOpen } ?: live() }.also { it.see(frame) }

    /**
     * Frees the embeddings of images that are kept for questions to come, for a system that is short of memory;
     * those that the conversation holds stay. From any thread.
     */
    fun forgetImages() = session.forgetImages()

    /** Forgets the conversation, not the images' embeddings. Throws [UsageException] while this chat answers. */
    @Throws(UsageException::class)
    fun reset() = whileIdle { session.reset() }

    /**
     * Writes the conversation to [file], in the format that Python reads and writes: texts, tokens, images'
     * embeddings and, of what the engine can give, keys and values. The images themselves are not saved. Blocks.
     *
     * Throws [ConversationException]; [UsageException] while an answer is made.
     */
    @Throws(PocketVLException::class)
    fun save(file: File) {
        gate.claim().use { open { session.save(file) } }
    }

    /**
     * Ends the chat, which then refuses everything; what it holds is garbage. The model stays open. Throws
     * [UsageException] while this chat answers.
     */
    @Throws(UsageException::class)
    override fun close() {
        val open =
            synchronized(lock) {
                checkIdle()
                isClosed = true
                view.also { view = null }
            }
        open?.close()
    }

    internal fun events(work: AnswerWork): Flow<Event> = runner.events({ Cancellation() }, ::claim, work)

    internal fun await(onText: TextListener?, work: AnswerWork): Answer = runner.await(::claim, onText, work)

    /** For work on the model's thread, which holds the claim. */
    internal fun answer(
        content: Content,
        options: AskOptions,
        cancellation: Cancellation,
        send: (Event) -> Unit,
    ): Answer = session.ask(content, options, cancellation, progress(send))

    private fun claim(cancellation: Cancellation): Closeable =
        synchronized(lock) {
            checkOpen()
            val claim = gate.claim()
            running = cancellation
            Closeable {
                synchronized(lock) { running = null }
                claim.close()
            }
        }

    private fun progress(send: (Event) -> Unit): Progress =
        object : Progress {
            override fun onStarted(promptTokens: Int, reusedTokens: Int) =
                send(Event.Started(promptTokens, reusedTokens))

            override fun onText(piece: String) = send(Event.Text(piece))
        }

    private inline fun <T> open(block: () -> T): T {
        gate.checkOpen()
        synchronized(lock) { checkOpen() }
        return block()
    }

    private inline fun whileIdle(block: () -> Unit) {
        gate.checkOpen()
        synchronized(lock) {
            checkOpen()
            checkIdle()
            block()
        }
    }

    private fun checkOpen() {
        if (isClosed) throw UsageException("This chat is closed; make a new one.")
    }

    private fun checkIdle() {
        if (running != null) throw UsageException("This chat is answering; wait for it, or cancel it.")
    }
}
