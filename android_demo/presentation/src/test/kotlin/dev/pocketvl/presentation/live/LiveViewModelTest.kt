package dev.pocketvl.presentation.live

import dev.pocketvl.ImageException
import dev.pocketvl.media.RgbImage
import dev.pocketvl.presentation.FakeLive
import dev.pocketvl.presentation.FakeSource
import dev.pocketvl.presentation.INT4
import dev.pocketvl.presentation.ManualDispatcher
import dev.pocketvl.presentation.ROOMY
import dev.pocketvl.presentation.SMALL
import dev.pocketvl.presentation.finished
import dev.pocketvl.presentation.model.AnswerEvent
import dev.pocketvl.presentation.model.AnswerEvent.Completed
import dev.pocketvl.presentation.model.AnswerEvent.Failed
import dev.pocketvl.presentation.model.AnswerEvent.Piece
import dev.pocketvl.presentation.model.ModelHolder
import dev.pocketvl.presentation.policy.ThermalPolicy
import dev.pocketvl.presentation.policy.Warmth
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.consumeAsFlow
import kotlinx.coroutines.launch
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue

class LiveViewModelTest {
    private val dispatcher = ManualDispatcher()
    private val scope = CoroutineScope(dispatcher + Job())
    private val source = FakeSource()
    private val holder = ModelHolder(source, { ROOMY }, scope, dispatcher)
    private var frames = Channel<RgbImage>(Channel.UNLIMITED)
    private val pace = MutableStateFlow(ThermalPolicy.pace(Warmth.COOL, cores = 8))
    private var now = 0L
    private val view = LiveViewModel(holder, { frames.consumeAsFlow() }, pace, scope, dispatcher) { now }
    private val state: LiveState get() = view.state.value
    private val live: FakeLive get() =
        source.models
            .last()
            .lives
            .last()
    private val asked: List<String> get() = source.log.filter { it.startsWith("ask") }

    private fun frame(level: Int) = RgbImage(32, 32, ByteArray(3 * 32 * 32) { level.toByte() })

    private fun show(level: Int, times: Int = 3) =
        repeat(times) {
            frames.trySend(frame(level))
            dispatcher.run()
        }

    private fun say(vararg events: AnswerEvent) {
        events.forEach { live.answers.events.trySend(it) }
        dispatcher.run()
    }

    private fun start() {
        holder.choose(INT4)
        view.type("What?")
        view.start()
        dispatcher.run()
    }

    @Test
    fun `a still frame is asked about, and again when it changes`() {
        start()
        show(10, times = 1)
        assertEquals(LivePhase.MOVING, state.phase)
        show(10)
        assertEquals(listOf("ask What? of 10"), asked)
        assertEquals(LivePhase.ANSWERING, state.phase)
        say(Piece("A cup"), Completed(finished("A cup")))
        now = 5_000
        show(10)
        assertEquals(LivePhase.SAME, state.phase)
        show(90)
        assertEquals(listOf("ask What? of 10", "ask What? of 90"), asked)
    }

    @Test
    fun `frames that come while an answer is made are dropped`() {
        start()
        show(10)
        show(50)
        show(90)
        assertEquals(1, asked.size)
        say(Completed(finished("A cup")))
        now = 5_000
        show(90, times = 1)
        assertEquals(listOf("ask What? of 10", "ask What? of 90"), asked)
    }

    @Test
    fun `the old answer stays until the new one begins`() {
        start()
        show(10)
        say(Piece("A "), Piece("cup"), Completed(finished("A cup")))
        assertFalse(state.isOld)
        now = 5_000
        show(90)
        assertEquals("A cup" to true, state.answer to state.isOld)
        say(Piece("A d"))
        assertEquals("A d" to false, state.answer to state.isOld)
        say(Piece("og"), Completed(finished("A dog")))
        assertEquals("A dog", state.answer)
        assertNotNull(state.statistics)
    }

    @Test
    fun `the interval is kept and grows with the warmth`() {
        start()
        show(10)
        say(Completed(finished("A cup")))
        pace.value = ThermalPolicy.pace(Warmth.HOT, cores = 8)
        now = 4_999
        show(90)
        assertEquals(LivePhase.RESTING, state.phase)
        now = 5_000
        show(90, times = 1)
        assertEquals(2, asked.size)
        assertEquals(Warmth.HOT, state.warmth)
    }

    @Test
    fun `a phone that is too hot pauses`() {
        pace.value = ThermalPolicy.pace(Warmth.TOO_HOT, cores = 8)
        start()
        show(10)
        assertEquals(LivePhase.TOO_HOT, state.phase)
        assertEquals(emptyList(), asked)
    }

    @Test
    fun `other threads load the model anew, and the view goes on`() {
        start()
        show(10)
        say(Completed(finished("A cup")))
        scope.launch { holder.useThreads(2) }
        dispatcher.run()
        assertFalse("load int4 with 2" in source.log)
        pace.value = ThermalPolicy.pace(Warmth.VERY_HOT, cores = 8)
        frames.trySend(frame(0))
        val before = frames
        frames = Channel(Channel.UNLIMITED)
        dispatcher.run()
        assertTrue(before.trySend(frame(0)).isFailure, "the camera was let go")
        assertContains(source.log, "load int4 with 2")
        now = 20_000
        show(90)
        assertEquals("ask What? of 90", asked.last())
    }

    @Test
    fun `another bundle ends the answer and the view goes on with it`() {
        start()
        show(10)
        holder.choose(SMALL)
        dispatcher.run()
        val before = frames
        frames = Channel(Channel.UNLIMITED)
        before.trySend(frame(0))
        dispatcher.run()
        assertContains(source.log, "load int4-small")
        now = 20_000
        show(10)
        assertEquals(2, asked.size)
    }

    @Test
    fun `stopping lets the camera and the model go`() {
        start()
        show(10)
        view.stop()
        dispatcher.run()
        assertEquals(LivePhase.OFF, state.phase)
        assertTrue(frames.trySend(frame(0)).isFailure)
        assertEquals("close live", source.log.last())
        var isFree = false
        scope.launch { holder.use { isFree = true } }
        dispatcher.run()
        assertTrue(isFree)
    }

    @Test
    fun `a camera that fails ends it with its sentence`() {
        start()
        frames.close(ImageException("Another app has the camera; close that app."))
        dispatcher.run()
        assertEquals("Another app has the camera; close that app.", state.message)
        assertEquals(LivePhase.OFF, state.phase)
        frames = Channel(Channel.UNLIMITED)
        view.start()
        dispatcher.run()
        assertNull(state.message)
        assertTrue(state.isOn)
    }

    @Test
    fun `an answer that fails is told of, and the view goes on`() {
        start()
        show(10)
        say(Piece("A"), Failed("The context is full."))
        assertEquals("The context is full.", state.message)
        now = 5_000
        show(90)
        assertEquals(2, asked.size)
    }

    @Test
    fun `without a model it waits, without a question it does not start`() {
        view.start()
        dispatcher.run()
        assertEquals(LivePhase.OFF, state.phase)
        view.type("What?")
        view.start()
        dispatcher.run()
        assertEquals(LivePhase.WAITING, state.phase)
        holder.choose(INT4)
        dispatcher.run()
        show(10)
        assertEquals(1, asked.size)
    }

    @Test
    fun `another question asks about the same sight`() {
        start()
        show(10)
        say(Completed(finished("A cup")))
        now = 5_000
        view.type("Which colour?")
        show(10, times = 1)
        assertEquals("ask Which colour? of 10", asked.last())
    }
}
