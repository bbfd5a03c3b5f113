package dev.pocketvl.presentation.benchmark

import dev.pocketvl.presentation.model.ModelHolder
import dev.pocketvl.presentation.model.ModelState
import dev.pocketvl.presentation.platform.Device
import dev.pocketvl.presentation.platform.MemoryReader
import dev.pocketvl.presentation.platform.ThermalReader
import dev.pocketvl.presentation.text.errorText
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.update
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext

/** All that the benchmark screen shows. [step] is null where nothing runs. */
data class BenchmarkState(
    val isReady: Boolean = false,
    val step: Step? = null,
    val report: BenchmarkReport? = null,
    val message: String? = null,
) {
    val isRunning: Boolean get() = step != null
    val canStart: Boolean get() = isReady && !isRunning
    val canShare: Boolean get() = report != null && !isRunning
}

/** What the phone tells the benchmark screen. */
class BenchmarkPhone(val device: Device, val memory: MemoryReader, val thermal: ThermalReader)

/** Times the loaded bundle and makes the report. [scope] runs on one thread; [nanos] never goes back. */
class BenchmarkViewModel(
    private val holder: ModelHolder,
    private val phone: BenchmarkPhone,
    private val scope: CoroutineScope,
    private val io: CoroutineDispatcher,
    private val nanos: () -> Long,
    private val settings: BenchmarkSettings = BenchmarkSettings(),
) {
    private val states = MutableStateFlow(BenchmarkState())
    private var running: Job? = null

    val state: StateFlow<BenchmarkState> = states.asStateFlow()

    init {
        scope.launch { holder.state.collect { now -> states.update { it.copy(isReady = now is ModelState.Ready) } } }
    }

    fun start() {
        if (!states.value.canStart) return
        states.update { it.copy(step = Step(Stage.VISION, 0, 1), message = null) }
        running =
            scope.launch {
                try {
                    val report = time()
                    states.update { it.copy(report = report) }
                } catch (cancelled: CancellationException) {
                    throw cancelled
                } catch (error: Throwable) {
                    // also OutOfMemoryError
                    states.update { it.copy(message = errorText(error)) }
                } finally {
                    states.update { it.copy(step = null) }
                }
            }
    }

    /** Ends it after the run in progress; the last report stays. */
    fun cancel() {
        running?.cancel()
    }

    private suspend fun time(): BenchmarkReport =
        holder.use { model ->
            withContext(io) {
                val before = read()
                val timer = StageTimer(model.manifest, model.engine, nanos)
                val timings =
                    timer.run(settings.fitting(model.manifest.maxContext)) { step ->
                        ensureActive()
                        states.update { it.copy(step = step) }
                    }
                BenchmarkReport(phone.device, model.manifest, settings, model.threads, timings, before, read())
            }
        }

    private fun read() = Reading(phone.memory.read(), phone.thermal.read())
}

/** Half the context for the prompt at most, a quarter for the answer. */
internal fun BenchmarkSettings.fitting(context: Int): BenchmarkSettings =
    copy(
        prefillTokens = minOf(prefillTokens, maxOf(1, context / 2)),
        decodeTokens = minOf(decodeTokens, maxOf(1, context / 4)),
    )
