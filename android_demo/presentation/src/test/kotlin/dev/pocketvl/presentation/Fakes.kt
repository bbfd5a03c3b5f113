package dev.pocketvl.presentation

import dev.pocketvl.ConversationException
import dev.pocketvl.Engine
import dev.pocketvl.ImageException
import dev.pocketvl.UsageException
import dev.pocketvl.bundle.Manifest
import dev.pocketvl.chat.Statistics
import dev.pocketvl.decoding.StopReason
import dev.pocketvl.media.RgbImage
import dev.pocketvl.presentation.model.AnswerEvent
import dev.pocketvl.presentation.model.FinishedAnswer
import dev.pocketvl.presentation.model.LiveChat
import dev.pocketvl.presentation.model.LoadedModel
import dev.pocketvl.presentation.model.ModelChat
import dev.pocketvl.presentation.model.ModelSource
import dev.pocketvl.presentation.model.Question
import dev.pocketvl.presentation.platform.BundlePlace
import dev.pocketvl.presentation.platform.InstalledBundle
import dev.pocketvl.presentation.platform.Memory
import dev.pocketvl.presentation.platform.Photo
import dev.pocketvl.presentation.platform.PhotoReader
import dev.pocketvl.presentation.platform.Thermal
import dev.pocketvl.presentation.platform.ThermalStatus
import dev.pocketvl.presentation.policy.Release
import dev.pocketvl.text.Box
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow
import java.io.File

val INT4 = InstalledBundle(File("/bundles/int4"), BundlePlace.APP, 1_650_000_000)
val SMALL = InstalledBundle(File("/bundles/int4-small"), BundlePlace.PUSHED, 1_258_000_000)
val ROOMY = Memory(available = 4_000_000_000, total = 8_000_000_000, isLow = false, process = 1_500_000_000)
val COOL = Thermal(ThermalStatus.NONE, 0.3f, 31f)

fun photo(name: String) = Photo("content://$name", name, 640, 480)

fun finished(text: String, end: StopReason = StopReason.STOP, isKept: Boolean = true, boxes: List<Box> = emptyList()) =
    FinishedAnswer(text, boxes, Statistics(decodeTokens = 7), end, emptyList(), isKept)

/** Knows the photos named in its list. */
class FakePhotos(private vararg val names: String) : PhotoReader {
    override fun read(uri: String): Photo =
        names.find { uri == "content://$it" }?.let(::photo) ?: throw ImageException("$uri is not there any more.")
}

/** Loads models of which the tests hold the strings. [log]: what was called, in order. */
class FakeSource(var manifest: Manifest = manifest()) : ModelSource {
    val log = ArrayList<String>()
    val models = ArrayList<FakeModel>()
    var failure: Throwable? = null
    var duringVerify: (progress: (Long, Long) -> Unit) -> Unit = {}

    override fun inspect(folder: File): Manifest = manifest

    override fun verify(folder: File, always: Boolean, onProgress: (done: Long, total: Long) -> Unit) {
        log += if (always) "verify ${folder.name} whole" else "verify ${folder.name}"
        duringVerify(onProgress)
    }

    override fun load(folder: File, threads: Int?): LoadedModel {
        log += "load ${folder.name}" + (threads?.let { " with $it" } ?: "")
        failure?.let { throw it }
        return FakeModel(manifest, threads, log).also { models += it }
    }
}

class FakeModel(override val manifest: Manifest, override val threads: Int?, private val log: MutableList<String>) :
    LoadedModel {
    val chats = ArrayList<FakeChat>()
    val lives = ArrayList<FakeLive>()
    var fakeEngine: Engine? = null

    override val engine: Engine get() = checkNotNull(fakeEngine)

    override fun chat(): ModelChat = FakeChat(log).also { chats += it }

    override fun restore(file: File): ModelChat {
        log += "restore ${file.readText()}"
        if (file.readText() == "damaged") throw ConversationException("The saved chat is damaged; start a new one.")
        return FakeChat(log).also { chats += it }
    }

    override fun live(): LiveChat = FakeLive(log).also { lives += it }

    override fun release(what: Release) {
        log += "release $what"
    }

    override fun close() {
        log += "close"
    }
}

/** [events] of the answer in progress come from the test; null ends the flow. */
class FakeAnswers(private val log: MutableList<String>) {
    val events = Channel<AnswerEvent>(Channel.UNLIMITED)

    fun flow(what: String): Flow<AnswerEvent> =
        flow {
            log += what
            for (event in events) {
                emit(event)
                if (event !is AnswerEvent.Piece) break
            }
        }
}

class FakeChat(private val log: MutableList<String>) : ModelChat {
    val answers = FakeAnswers(log)
    var saveFailure: Throwable? = null

    fun say(vararg events: AnswerEvent) = events.forEach { answers.events.trySend(it) }

    override fun ask(question: Question) = answers.flow("ask ${question.text}${question.photos.map { it.name }}")

    override fun askInstead(question: Question) = answers.flow("ask instead ${question.text}")

    override fun regenerate() = answers.flow("regenerate")

    override fun stop() {
        log += "stop"
    }

    override fun save(file: File) {
        log += "save"
        saveFailure?.let { throw it }
        file.writeText("chat")
    }
}

class FakeLive(private val log: MutableList<String>) : LiveChat {
    val answers = FakeAnswers(log)
    private var seen: RgbImage? = null

    override fun see(frame: RgbImage) {
        seen = frame
    }

    override fun ask(question: String): Flow<AnswerEvent> {
        val frame = seen ?: throw UsageException("No frame was seen yet.")
        return answers.flow("ask $question of ${frame.pixels[0]}")
    }

    override fun stop() {
        log += "stop"
    }

    override fun close() {
        log += "close live"
    }
}
