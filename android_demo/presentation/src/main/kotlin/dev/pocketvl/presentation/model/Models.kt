package dev.pocketvl.presentation.model

import dev.pocketvl.Engine
import dev.pocketvl.bundle.Manifest
import dev.pocketvl.media.RgbImage
import dev.pocketvl.presentation.platform.Photo
import dev.pocketvl.presentation.policy.Release
import kotlinx.coroutines.flow.Flow
import java.io.File

/** What is asked: a text about the images of the conversation and these new ones, which come before it. */
data class Question(val text: String, val photos: List<Photo> = emptyList())

/** Opens bundles. All calls block, off the main thread, and throw [dev.pocketvl.PocketVLException]. */
interface ModelSource {
    /** Checks all that can be checked without reading the weights. */
    fun inspect(folder: File): Manifest

    /** Compares hashes, those found equal before left out unless [always]. [onProgress] gets bytes. */
    fun verify(folder: File, always: Boolean, onProgress: (done: Long, total: Long) -> Unit)

    /** [threads] of the runtime, null for its own choice. */
    fun load(folder: File, threads: Int?): LoadedModel
}

/** A bundle that is ready to answer. One conversation answers at a time. */
interface LoadedModel {
    val manifest: Manifest

    /** Of the runtime; null is its own choice. */
    val threads: Int?

    fun chat(): ModelChat

    /** The conversation that [ModelChat.save] wrote. Throws [dev.pocketvl.ConversationException]. */
    fun restore(file: File): ModelChat

    fun live(): LiveChat

    /** For timing its stages. Whoever uses it claims its KV cache. */
    val engine: Engine

    /** Not while an answer is made, except [Release.VISION]. */
    fun release(what: Release)

    /** Throws [dev.pocketvl.UsageException] while an answer is made. */
    fun close()
}

/** One conversation. Flows are cold; a collector that leaves stops the answer and forgets its turn. */
interface ModelChat {
    fun ask(question: Question): Flow<AnswerEvent>

    /** Takes the last question and its answer back and asks this instead; if that fails, they are as before. */
    fun askInstead(question: Question): Flow<AnswerEvent>

    /** The last answer made anew. */
    fun regenerate(): Flow<AnswerEvent>

    /** Ends the answer in progress and keeps what was said; from any thread. */
    fun stop()

    /** Not while an answer is made. Throws [dev.pocketvl.ConversationException]. */
    fun save(file: File)
}

/**
 * A conversation about what a camera shows: only the newest frames stay in it. Flows are as of [ModelChat].
 *
 * Keeps the vision encoder loaded until it is closed.
 */
interface LiveChat {
    /** Encodes a frame, which the next question is about. Blocks until that is done. */
    fun see(frame: RgbImage)

    fun ask(question: String): Flow<AnswerEvent>

    /** Ends the answer in progress, from any thread. */
    fun stop()

    fun close()
}
