package dev.pocketvl

import dev.pocketvl.bundle.Bundle
import dev.pocketvl.bundle.Manifest
import dev.pocketvl.chat.ChatOptions
import dev.pocketvl.chat.ChatSession
import dev.pocketvl.chat.ModelParts
import java.io.Closeable
import java.io.File

/**
 * A bundle with its engine, and the one thread on which its answers are made.
 *
 * Several chats share a model, one answering at a time: a second question meanwhile fails with a [UsageException].
 * For any thread. A closed model refuses everything but [close].
 */
class Model internal constructor(bundle: Bundle, private val engine: Engine) : Closeable {
    private val parts =
        try {
            ModelParts(bundle, engine)
        } catch (error: Throwable) {
            engine.close()
            throw error
        }
    private val gate = ModelGate(engine.text.cache)
    private val runner = AnswerRunner()

    /** What the bundle says of itself: geometry, buckets, context, sizes, provenance. */
    val manifest: Manifest get() = parts.manifest

    /** A new conversation. Throws [UsageException], [PromptException]. */
    @JvmOverloads
    @Throws(PocketVLException::class)
    fun chat(options: ChatOptions = ChatOptions()): Chat {
        gate.checkOpen()
        return Chat(ChatSession.begin(parts, options), gate, runner)
    }

    /**
     * The conversation that [Chat.save] wrote, here or in Python, with a bundle of the same files. What was saved of
     * keys and values takes the place of what the engine holds; the rest is fed with the next question. Blocks.
     *
     * Throws [ConversationException] for a damaged file or another bundle's; [UsageException] while an answer is made.
     */
    @JvmOverloads
    @Throws(PocketVLException::class)
    fun loadChat(file: File, keepVision: Boolean = false): Chat =
        gate.claim().use { Chat(ChatSession.restore(file, parts, keepVision), gate, runner) }

    /**
     * Frees the vision encoder's memory until the next image that is not cached, for a system that is short of it.
     * Waits for the image that is being encoded.
     */
    @Throws(PocketVLException::class)
    fun releaseVision() {
        gate.checkOpen()
        engine.vision.release()
    }

    /**
     * Frees the decoder's memory, keys and values with it; the next question loads it again and feeds its whole
     * conversation. Throws [UsageException] while an answer is made.
     */
    @Throws(PocketVLException::class)
    fun releaseText() {
        gate.claim().use { engine.text.close() }
    }

    /**
     * Frees the memory and the thread, for good; a second time does nothing. Throws [UsageException] while a chat of
     * this model is answering, also when called from its collector or listener, or an image is being encoded.
     */
    @Throws(UsageException::class)
    override fun close() {
        gate.close {
            runner.close()
            engine.close()
        }
    }
}
