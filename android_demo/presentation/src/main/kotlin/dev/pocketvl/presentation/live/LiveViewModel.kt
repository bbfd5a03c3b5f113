package dev.pocketvl.presentation.live

import dev.pocketvl.media.RgbImage
import dev.pocketvl.media.Thumbnail
import dev.pocketvl.media.thumbnail
import dev.pocketvl.presentation.model.AnswerEvent
import dev.pocketvl.presentation.model.LiveChat
import dev.pocketvl.presentation.model.LoadedModel
import dev.pocketvl.presentation.model.ModelHolder
import dev.pocketvl.presentation.model.ModelState
import dev.pocketvl.presentation.model.ModelUser
import dev.pocketvl.presentation.platform.FrameCamera
import dev.pocketvl.presentation.platform.InstalledBundle
import dev.pocketvl.presentation.policy.Pace
import dev.pocketvl.presentation.text.errorText
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.conflate
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.flowOn
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.flow.update
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext

/**
 * Answers one question about what the camera sees, again whenever something else is held still before it.
 *
 * One answer is made at a time, about the newest frame; the old answer stays until the new one begins. [pace] says
 * how long to rest. [scope] runs on one thread; [clock] gives milliseconds that never go back.
 */
class LiveViewModel(
    private val holder: ModelHolder,
    private val camera: FrameCamera,
    private val pace: StateFlow<Pace>,
    private val scope: CoroutineScope,
    private val io: CoroutineDispatcher,
    private val clock: () -> Long,
) : ModelUser {
    private val states = MutableStateFlow(LiveState())
    private val gate = SteadyGate()
    private var running: Job? = null
    private var answering: Job? = null
    private var lastBegan: Long? = null
    private var isLeaving = false

    private val shown = MutableStateFlow<RgbImage?>(null)

    val state: StateFlow<LiveState> = states.asStateFlow()

    /** What the camera sees, as the model gets it; null while it is off. */
    val frame: StateFlow<RgbImage?> = shown.asStateFlow()

    init {
        holder.add(this)
    }

    fun type(question: String) {
        if (question != states.value.question) gate.forget()
        states.update { it.copy(question = question) }
    }

    /** The camera may be used from here on; the permission is the caller's to have. */
    fun start() {
        if (!states.value.canStart) return
        states.update { it.copy(phase = LivePhase.WAITING, message = null) }
        val before = running
        running =
            scope.launch {
                before?.join()
                try {
                    while (true) {
                        holder.state.first { it is ModelState.Ready }
                        isLeaving = false
                        holder.use(::watch)
                        show(LivePhase.WAITING)
                    }
                } catch (cancelled: CancellationException) {
                    throw cancelled
                } catch (error: Throwable) {
                    // a camera or a runtime that fails ends it, not the app
                    states.update { it.copy(message = errorText(error)) }
                } finally {
                    shown.value = null
                    show(LivePhase.OFF)
                }
            }
    }

    /** By the user, or because the app leaves the screen. */
    fun stop() {
        running?.cancel()
    }

    override fun stopAnswer() {
        isLeaving = true
    }

    override suspend fun modelReady(model: LoadedModel, bundle: InstalledBundle) = gate.forget()

    override suspend fun modelClosing() = Unit

    /** Until it is cancelled, or the model is wanted with other threads or by nobody. */
    private suspend fun watch(model: LoadedModel) {
        val threads = pace.value.threads
        val live = withContext(io) { model.live() }
        try {
            coroutineScope {
                val frames =
                    camera
                        .frames()
                        .conflate()
                        .map { Pair(it, thumbnail(it)) }
                        .flowOn(io)
                frames.conflate().first { (frame, small) ->
                    look(live, frame, small, this)
                    isLeaving || pace.value.threads != threads
                }
                if (isLeaving) answering?.cancel()
            }
        } finally {
            answering = null
            withContext(NonCancellable + io) { live.close() }
        }
    }

    private fun look(live: LiveChat, frame: RgbImage, small: Thumbnail, within: CoroutineScope) {
        shown.value = frame
        val sight = gate.look(small)
        val (warmth, interval, _) = pace.value
        states.update { it.copy(warmth = warmth) }
        if (answering?.isActive == true) return
        val now = clock()
        val last = lastBegan
        val phase =
            when {
                interval == null -> LivePhase.TOO_HOT
                sight == Sight.MOVING -> LivePhase.MOVING
                sight == Sight.SAME -> LivePhase.SAME
                last != null && now - last < interval -> LivePhase.RESTING
                else -> LivePhase.ANSWERING
            }
        show(phase)
        if (phase != LivePhase.ANSWERING) return
        gate.asked(small)
        lastBegan = now
        states.update { it.copy(isOld = it.answer.isNotEmpty()) }
        answering = within.launch { answer(live, frame, states.value.question.trim()) }
    }

    private suspend fun answer(live: LiveChat, frame: RgbImage, question: String) {
        withContext(io) { live.see(frame) }
        live.ask(question).collect { event ->
            when (event) {
                is AnswerEvent.Piece -> {
                    states.update { it.with(event.text) }
                }

                is AnswerEvent.Completed -> {
                    states.update { it.copy(isOld = false, statistics = event.answer.statistics, message = null) }
                }

                is AnswerEvent.Failed -> {
                    states.update { it.copy(message = event.message) }
                }
            }
        }
    }

    private fun LiveState.with(piece: String): LiveState =
        copy(answer = if (isOld) piece else answer + piece, isOld = false)

    private fun show(phase: LivePhase) {
        if (states.value.phase != phase) states.update { it.copy(phase = phase) }
    }
}
