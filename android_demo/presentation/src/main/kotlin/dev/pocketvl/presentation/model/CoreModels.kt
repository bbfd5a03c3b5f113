package dev.pocketvl.presentation.model

import dev.pocketvl.Chat
import dev.pocketvl.Engine
import dev.pocketvl.EngineFactory
import dev.pocketvl.Event
import dev.pocketvl.LoadOptions
import dev.pocketvl.Model
import dev.pocketvl.PocketVL
import dev.pocketvl.bundle.Manifest
import dev.pocketvl.bundle.Verify
import dev.pocketvl.bundle.openBundle
import dev.pocketvl.chat.Answer
import dev.pocketvl.chat.AskOptions
import dev.pocketvl.chat.ChatOptions
import dev.pocketvl.chat.LiveOptions
import dev.pocketvl.media.RgbImage
import dev.pocketvl.presentation.platform.ImageOpener
import dev.pocketvl.presentation.policy.Release
import dev.pocketvl.presentation.text.errorText
import dev.pocketvl.text.ImagePart
import dev.pocketvl.text.Part
import dev.pocketvl.text.TextPart
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.flow.mapNotNull
import java.io.File
import java.security.MessageDigest

/** The core's models. [stamps]: a folder of the app's own, in which is remembered what hashes were found equal. */
class CoreModels(private val engines: EngineFactory, private val images: ImageOpener, private val stamps: File) :
    ModelSource {
    override fun inspect(folder: File): Manifest = openBundle(folder, Verify.NEVER).manifest

    override fun verify(folder: File, always: Boolean, onProgress: (done: Long, total: Long) -> Unit) {
        openBundle(folder, if (always) Verify.ALWAYS else Verify.STAMP, stamp(folder), onProgress)
    }

    override fun load(folder: File, threads: Int?): LoadedModel {
        var opened: Engine? = null
        val remembering = EngineFactory { bundle, count -> engines.open(bundle, count).also { opened = it } }
        val options = LoadOptions(Verify.STAMP, stamp(folder), threads)
        val model = PocketVL.load(folder, remembering, options)
        return CoreModel(model, checkNotNull(opened), threads, images)
    }

    private fun stamp(folder: File): File {
        stamps.mkdirs()
        val name = MessageDigest.getInstance("SHA-256").digest(folder.absolutePath.toByteArray())
        return File(stamps, name.take(8).joinToString("") { "%02x".format(it) })
    }
}

internal class CoreModel(
    private val model: Model,
    override val engine: Engine,
    override val threads: Int?,
    private val images: ImageOpener,
) : LoadedModel {
    override val manifest: Manifest get() = model.manifest
    private var chat: Chat? = null

    override fun chat(): ModelChat = CoreChat(remembered(model.chat()), images)

    override fun restore(file: File): ModelChat = CoreChat(remembered(model.loadChat(file)), images)

    override fun live(): LiveChat = CoreLive(model)

    override fun release(what: Release) {
        if (what >= Release.VISION) model.releaseVision()
        if (what >= Release.CACHE) chat?.forgetImages()
        if (what >= Release.WEIGHTS) model.releaseText()
    }

    override fun close() = model.close()

    /** The embeddings that a chat keeps are what [Release.CACHE] gives back. */
    private fun remembered(chat: Chat): Chat = chat.also { this.chat = it }
}

private class CoreChat(private val chat: Chat, private val images: ImageOpener) : ModelChat {
    override fun ask(question: Question): Flow<AnswerEvent> = chat.ask(parts(question), OPTIONS).plain()

    override fun askInstead(question: Question): Flow<AnswerEvent> =
        flow {
            val whole = chat.conversation
            var isAnswered = false
            chat.conversation = whole.before ?: whole
            try {
                ask(question).collect { event ->
                    isAnswered = event is AnswerEvent.Completed && event.answer.isKept
                    emit(event)
                }
            } finally {
                if (!isAnswered) chat.conversation = whole
            }
        }

    override fun regenerate(): Flow<AnswerEvent> = chat.regenerate(OPTIONS).plain()

    override fun stop() = chat.cancel()

    override fun save(file: File) = chat.save(file)

    private fun parts(question: Question): List<Part> =
        question.photos.map { ImagePart(images.open(it)) } + TextPart(question.text)

    private companion object {
        val OPTIONS = AskOptions(maxTokens = 512)
    }
}

/** Keeps the encoder loaded while it is there, and no turns: each answer is about the newest frame alone. */
private class CoreLive(private val model: Model) : LiveChat {
    private val chat = model.chat(ChatOptions(keepVision = true))
    private val view = chat.live(LiveOptions(maxTurns = 0))

    /** What is too like the frame before is not encoded again: then the view is idle at once. */
    override fun see(frame: RgbImage) {
        view.see(frame)
        do {
            val isNew = view.waitForChange(POLL_MILLIS)
        } while (!isNew && !view.isIdle)
    }

    override fun ask(question: String): Flow<AnswerEvent> = view.ask(question, OPTIONS).plain()

    override fun stop() = view.cancel()

    override fun close() {
        view.close()
        chat.close()
        model.releaseVision()
    }

    private companion object {
        val OPTIONS = AskOptions(maxTokens = 64)
        const val POLL_MILLIS = 50L
    }
}

private fun Flow<Event>.plain(): Flow<AnswerEvent> =
    mapNotNull { event ->
        when (event) {
            is Event.Started -> null
            is Event.Text -> AnswerEvent.Piece(event.piece)
            is Event.Completed -> AnswerEvent.Completed(finished(event.answer))
            is Event.Failed -> AnswerEvent.Failed(errorText(event.error))
        }
    }

private fun finished(answer: Answer) =
    FinishedAnswer(
        answer.text,
        answer.boxes,
        answer.statistics,
        answer.stopReason,
        answer.notes,
        isKept = answer.tokenIds.isNotEmpty(),
    )
