package dev.pocketvl.presentation.benchmark

import dev.pocketvl.Engine
import dev.pocketvl.EngineException
import dev.pocketvl.Matrix
import dev.pocketvl.TextEngine
import dev.pocketvl.UsageException
import dev.pocketvl.VisionEngine
import dev.pocketvl.decoding.KVCache
import dev.pocketvl.json.Json
import dev.pocketvl.presentation.COOL
import dev.pocketvl.presentation.FakeSource
import dev.pocketvl.presentation.INT4
import dev.pocketvl.presentation.ManualDispatcher
import dev.pocketvl.presentation.ROOMY
import dev.pocketvl.presentation.manifest
import dev.pocketvl.presentation.model.ModelHolder
import dev.pocketvl.presentation.platform.Device
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue

private const val MILLION = 1_000_000L

/** Takes a known time for each call: a millisecond for a patch or a token, a second for loading. */
private class TimedEngine {
    var nanos = 0L
    val calls = ArrayList<String>()
    var failure: EngineException? = null
    private val loaded = HashSet<String>()

    val vision =
        object : VisionEngine {
            override fun encode(patches: Matrix, ropeCos: Matrix, ropeSin: Matrix): Matrix {
                failure?.let { throw it }
                load("vision")
                calls += "encode ${patches.rows}x${patches.columns} ${ropeCos.columns}"
                nanos += patches.rows * MILLION
                return Matrix(patches.rows / 4, 1536)
            }

            override fun release() {
                loaded -= "vision"
            }
        }

    val text =
        object : TextEngine {
            override val cache = KVCache()

            override fun decode(
                embeddings: Matrix,
                ropeCos: Matrix,
                ropeSin: Matrix,
                cachePosition: Int,
                hidden: Matrix,
            ) {
                load("text")
                calls += "decode ${embeddings.rows} at $cachePosition"
                nanos += embeddings.rows * MILLION
            }

            override fun logits(hidden: Matrix, logits: Matrix) {
                calls += "logits"
                nanos += MILLION
            }

            override fun close() {
                loaded -= "text"
            }
        }

    val engine = Engine(vision, text)

    private fun load(what: String) {
        if (loaded.add(what)) nanos += 1_000 * MILLION
    }
}

class BenchmarkTest {
    private val timed = TimedEngine()
    private val manifest = manifest(buckets = listOf(64, 256), maxContext = 512, prefillChunk = 100)
    private val device = Device("Maker", "Phone 1", "Chip", 8, 34, "arm64-v8a", 8_000_000_000)

    @Test
    fun `stages are timed one by one, loading apart`() {
        val steps = ArrayList<Step>()
        val timer = StageTimer(manifest, timed.engine) { timed.nanos }
        val timings = timer.run(BenchmarkSettings(repeats = 2, prefillTokens = 250, decodeTokens = 3)) { steps += it }
        assertEquals(1.0, timings.visionLoad, 1e-9)
        assertEquals(1.0, timings.decoderLoad, 1e-9)
        assertEquals(listOf(64 to 0.064, 256 to 0.256), timings.vision.map { it.patches to it.best })
        assertEquals(listOf(16, 64), timings.vision.map { it.tokens })
        assertEquals(1000.0, timings.prefill.rate, 1e-6)
        assertEquals(500.0, timings.decode.rate, 1e-6)
        assertEquals(listOf("encode 64x1176 80", "encode 256x1176 80"), timed.calls.distinct().take(2))
        val decodes = timed.calls.filter { it.startsWith("decode") }
        assertEquals(listOf("decode 100 at 0", "decode 100 at 100", "decode 50 at 200"), decodes.take(3))
        assertEquals(listOf("decode 1 at 250", "decode 1 at 251", "decode 1 at 252"), decodes.takeLast(3))
        for ((stage, of) in steps.groupBy { it.stage }) assertEquals(of.indices.toList(), of.map { it.done }, "$stage")
        assertTrue(steps.all { it.done < it.total })
    }

    @Test
    fun `the cache is claimed meanwhile and free afterwards`() {
        val timer = StageTimer(manifest, timed.engine) { timed.nanos }
        timed.text.cache.claim().use {
            assertFailsWith<UsageException> { timer.run(BenchmarkSettings()) {} }
        }
        assertFailsWith<IllegalStateException> { timer.run(BenchmarkSettings(1, 1, 1)) { error("stop") } }
        timed.text.cache
            .claim()
            .close()
    }

    @Test
    fun `settings that do not fit the context are refused`() {
        val timer = StageTimer(manifest, timed.engine) { timed.nanos }
        for (wrong in listOf(BenchmarkSettings(0), BenchmarkSettings(1, 500, 13), BenchmarkSettings(1, 0, 1))) {
            assertFailsWith<UsageException> { timer.run(wrong) {} }
        }
        assertEquals(emptyList(), timed.calls)
    }

    @Test
    fun `the median of an even number of tokens is between two`() {
        assertEquals(1 / 2.5, DecodeTimes(listOf(1.0, 9.0, 2.0, 3.0)).rate, 1e-9)
        assertEquals(1 / 2.0, DecodeTimes(listOf(1.0, 9.0, 2.0)).rate, 1e-9)
    }

    @Test
    fun `the screen runs it and the report is JSON of the documented shape`() {
        val app = app()
        app.view.start()
        assertTrue(app.view.state.value.isRunning)
        app.dispatcher.run()
        val state = app.view.state.value
        assertTrue(state.canShare && state.canStart)
        val report = Json.parse(assertNotNull(state.report).json()) as Map<*, *>
        val keys = "schema version device bundle settings load_seconds vision prefill decode before after"
        assertEquals(keys.split(" "), report.keys.toList())
        assertEquals("pocketvl-benchmark", report["schema"])
        assertEquals(
            mapOf("repeats" to 3L, "prefill_tokens" to 256L, "decode_tokens" to 32L, "threads" to null),
            report["settings"],
        )
        val before = report["before"] as Map<*, *>
        assertEquals("none", before["thermal_status"])
        assertEquals(31.0, before["battery_celsius"])
    }

    @Test
    fun `a failure is told of and the screen is ready again`() {
        val app = app()
        timed.failure = EngineException("vision_encoder.pte is damaged; copy the bundle again.")
        app.view.start()
        app.dispatcher.run()
        assertEquals("vision_encoder.pte is damaged; copy the bundle again.", app.view.state.value.message)
        assertTrue(app.view.state.value.canStart)
        assertFalse(app.view.state.value.canShare)
    }

    @Test
    fun `it needs a model`() {
        val app = app(isLoaded = false)
        app.view.start()
        app.dispatcher.run()
        assertFalse(app.view.state.value.isReady)
        assertNull(app.view.state.value.report)
    }

    @Test
    fun `a small context has a small benchmark`() {
        assertEquals(BenchmarkSettings(3, 64, 32), BenchmarkSettings().fitting(128))
        assertEquals(BenchmarkSettings(), BenchmarkSettings().fitting(2048))
    }

    private inner class App(val dispatcher: ManualDispatcher, val view: BenchmarkViewModel)

    private fun app(isLoaded: Boolean = true): App {
        val dispatcher = ManualDispatcher()
        val scope = CoroutineScope(dispatcher + Job())
        val source = FakeSource(manifest)
        val holder = ModelHolder(source, { ROOMY }, scope, dispatcher)
        val phone = BenchmarkPhone(device, { ROOMY }, { COOL })
        val view = BenchmarkViewModel(holder, phone, scope, dispatcher, { timed.nanos })
        if (isLoaded) holder.choose(INT4)
        dispatcher.run()
        if (isLoaded) source.models.last().fakeEngine = timed.engine
        return App(dispatcher, view)
    }
}
