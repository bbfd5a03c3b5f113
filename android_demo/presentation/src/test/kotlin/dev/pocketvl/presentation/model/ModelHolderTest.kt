package dev.pocketvl.presentation.model

import dev.pocketvl.BundleException
import dev.pocketvl.UsageException
import dev.pocketvl.presentation.COOL
import dev.pocketvl.presentation.FakeSource
import dev.pocketvl.presentation.INT4
import dev.pocketvl.presentation.ManualDispatcher
import dev.pocketvl.presentation.ROOMY
import dev.pocketvl.presentation.SMALL
import dev.pocketvl.presentation.occupy
import dev.pocketvl.presentation.platform.Thermal
import dev.pocketvl.presentation.platform.ThermalStatus
import dev.pocketvl.presentation.policy.MemoryVerdict
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.launch
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertIs

class ModelHolderTest {
    private val dispatcher = ManualDispatcher()
    private val scope = CoroutineScope(dispatcher + Job())
    private val source = FakeSource()
    private var memory = ROOMY
    private val holder = ModelHolder(source, { memory }, scope, dispatcher)

    private fun choose(bundle: dev.pocketvl.presentation.platform.InstalledBundle = INT4) {
        holder.choose(bundle)
        dispatcher.run()
    }

    @Test
    fun `a bundle is verified with progress, then loaded`() {
        val seen = ArrayList<ModelState>()
        source.duringVerify = { progress ->
            progress(500, 1000)
            seen += holder.state.value
        }
        assertEquals(ModelState.NotChosen, holder.state.value)
        choose()
        assertEquals(listOf<ModelState>(ModelState.Verifying(INT4, 500, 1000)), seen)
        assertEquals(ModelState.Ready(INT4), holder.state.value)
        assertEquals(listOf("verify int4", "load int4"), source.log)
    }

    @Test
    fun `too little memory asks first, and is loaded anyway`() {
        memory = ROOMY.copy(available = 1_000_000_000)
        choose()
        assertEquals(MemoryVerdict.TIGHT, assertIs<ModelState.LowMemory>(holder.state.value).verdict)
        assertFalse("load int4" in source.log)
        holder.loadAnyway()
        dispatcher.run()
        assertEquals(ModelState.Ready(INT4), holder.state.value)
    }

    @Test
    fun `a yes to one warning is not a yes to the next`() {
        memory = ROOMY.copy(total = 1_000_000_000)
        choose()
        holder.loadAnyway()
        dispatcher.run()
        choose(SMALL)
        assertEquals(SMALL, assertIs<ModelState.LowMemory>(holder.state.value).bundle)
    }

    @Test
    fun `another choice takes the place of one that waits`() {
        memory = ROOMY.copy(available = 0)
        choose()
        memory = ROOMY
        choose(SMALL)
        assertEquals(ModelState.Ready(SMALL), holder.state.value)
        assertFalse("load int4" in source.log)
    }

    @Test
    fun `another choice ends the check that is running`() {
        source.duringVerify = { progress ->
            source.duringVerify = {}
            holder.choose(SMALL)
            dispatcher.run()
            progress(1, 2) // throws: cancelled
            error("not reached")
        }
        choose()
        assertEquals(ModelState.Ready(SMALL), holder.state.value)
        assertFalse("load int4" in source.log)
    }

    @Test
    fun `a bundle that fails says why and can be chosen again`() {
        source.failure = BundleException("vision_encoder.pte is not there; copy the bundle again.")
        choose()
        assertEquals(
            ModelState.Failed(INT4, "vision_encoder.pte is not there; copy the bundle again."),
            holder.state.value,
        )
        source.failure = null
        choose()
        assertEquals(ModelState.Ready(INT4), holder.state.value)
    }

    @Test
    fun `a native library that does not load is a failure, too`() {
        source.failure = UnsatisfiedLinkError("no libexecutorch_jni.so")
        choose()
        assertContains(assertIs<ModelState.Failed>(holder.state.value).message, "no libexecutorch_jni.so")
    }

    @Test
    fun `the model before is closed when nobody uses it`() {
        choose()
        val gate = CompletableDeferred<Unit>()
        scope.occupy(holder, gate)
        dispatcher.run()
        choose(SMALL)
        assertFalse("close" in source.log)
        gate.complete(Unit)
        dispatcher.run()
        assertEquals(listOf("verify int4", "load int4", "close", "verify int4-small", "load int4-small"), source.log)
    }

    @Test
    fun `using no model is refused`() {
        var refused: Throwable? = null
        scope.launch { refused = assertFailsWith<UsageException> { holder.use { } } }
        dispatcher.run()
        assertIs<UsageException>(refused)
    }

    @Test
    fun `a forgotten model is closed`() {
        choose()
        holder.forget()
        dispatcher.run()
        assertEquals(ModelState.NotChosen, holder.state.value)
        assertEquals("close", source.log.last())
    }

    @Test
    fun `memory is given back by level`() {
        choose()
        for (level in listOf(0, 5, 10, 40)) holder.trim(level)
        dispatcher.run()
        assertEquals(listOf("release VISION", "release CACHE", "release WEIGHTS"), source.log.drop(2))
    }

    @Test
    fun `what an answer is made with is given back after it`() {
        choose()
        val gate = CompletableDeferred<Unit>()
        scope.occupy(holder, gate)
        dispatcher.run()
        holder.trim(15)
        dispatcher.run()
        assertEquals("release VISION", source.log.last())
        gate.complete(Unit)
        dispatcher.run()
        assertEquals("release WEIGHTS", source.log.last())
        scope.occupy(holder, gate)
        dispatcher.run()
        assertEquals(1, source.log.count { it == "release WEIGHTS" })
    }

    @Test
    fun `without a model there is nothing to give back`() {
        holder.trim(80)
        dispatcher.run()
        assertEquals(emptyList(), source.log)
    }

    @Test
    fun `a hot phone gets the model with fewer threads, and its threads back later`() {
        choose()
        var status = ThermalStatus.SEVERE
        var now = 0L
        val keeper = PaceKeeper({ Thermal(status, null, 40f) }, holder, cores = 8, dispatcher, { now }, { })

        fun look() {
            scope.launch { keeper.look() }
            dispatcher.run()
        }
        look()
        assertEquals(10_000, keeper.pace.value.frameInterval)
        assertEquals(ThermalStatus.SEVERE, keeper.reading.value?.status)
        assertEquals(listOf("close", "load int4 with 2"), source.log.drop(2))
        look()
        assertEquals(4, source.log.size, "the same threads are no reason to load again")
        status = COOL.status
        look()
        now = 30_000
        look()
        assertEquals(listOf("close", "load int4"), source.log.drop(4))
        assertEquals(ModelState.Ready(INT4), holder.state.value)
    }

    @Test
    fun `threads change when the answer is made`() {
        choose()
        val gate = CompletableDeferred<Unit>()
        scope.occupy(holder, gate)
        dispatcher.run()
        scope.launch { holder.useThreads(1) }
        dispatcher.run()
        assertEquals(ModelState.Ready(INT4), holder.state.value)
        assertEquals(2, source.log.size)
        gate.complete(Unit)
        dispatcher.run()
        assertEquals(listOf("close", "load int4 with 1"), source.log.drop(2))
    }
}
