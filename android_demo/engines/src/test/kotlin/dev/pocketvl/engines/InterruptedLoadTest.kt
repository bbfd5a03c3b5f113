package dev.pocketvl.engines

import dev.pocketvl.EngineException
import org.junit.jupiter.api.Test
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.ValueSource
import java.io.File
import java.nio.file.Files
import java.util.concurrent.CountDownLatch
import kotlin.concurrent.thread
import kotlin.test.assertContains
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

/** A thread that is interrupted while files are loaded: the load is whole, or fails by name and can be repeated. */
class InterruptedLoadTest {
    @Test
    fun `onnx maps no cache in an interrupted thread, says so, and loads when asked again`() {
        val bundle = EngineCases.bundle("onnx-int4")
        val engine = EngineCases.open("onnx-int4")
        Thread.currentThread().interrupt()
        val failure = assertFailsWith<EngineException> { engine.step(bundle, 2, 0) }
        assertContains(failure.message!!, "Loading was interrupted")
        assertTrue(Thread.interrupted(), "the interrupt is the caller's to clear")
        assertEquals(emptyList(), cacheFiles())
        assertContentEquals(expected("onnx-int4"), engine.step(bundle, 2, 0).values)
        assertEquals(1, cacheFiles().size)
        engine.close()
    }

    @Test
    fun `executorch loads in an interrupted thread, which stays interrupted`() {
        val bundle = EngineCases.bundle("executorch-int4")
        val engine = EngineCases.open("executorch-int4")
        Thread.currentThread().interrupt()
        val hidden = engine.step(bundle, 2, 0)
        assertTrue(Thread.interrupted())
        engine.close()
        assertContentEquals(expected("executorch-int4"), hidden.values)
    }

    @ParameterizedTest
    @ValueSource(strings = ["onnx-int4", "executorch-int4"])
    fun `an interrupt at any moment of a load leaves nothing behind`(name: String) {
        val bundle = EngineCases.bundle(name)
        val expected = expected(name)
        repeat(ROUNDS) { round ->
            val engine = EngineCases.open(name)
            val begun = CountDownLatch(1)
            var result: Result<FloatArray>? = null
            val loading =
                thread {
                    begun.countDown()
                    result = runCatching { engine.step(bundle, 2, 0).values }
                }
            begun.await()
            Thread.sleep(round % 10L, 97_000 * (round % 7))
            loading.interrupt()
            loading.join()
            result!!.fold(
                { assertContentEquals(expected, it) },
                { assertTrue(it is EngineException && "interrupted" in it.message!!, "$it") },
            )
            assertContentEquals(expected, engine.step(bundle, 2, 0).values, "asked again in round $round")
            engine.close()
        }
        assertEquals(emptyList(), cacheFiles())
        // ExecuTorch's pool has no user left that would refuse another number.
        EngineCases.open(name, 2).apply { step(bundle, 1, 0) }.close()
    }

    private fun expected(name: String): FloatArray =
        EngineCases.open(name).let { engine ->
            engine.step(EngineCases.bundle(name), 2, 0).values.also { engine.close() }
        }

    /** Files for caches that this process has open, whether or not their folder still lists them. */
    private fun cacheFiles(): List<String> =
        File("/proc/self/fd")
            .listFiles()
            .orEmpty()
            .mapNotNull { runCatching { Files.readSymbolicLink(it.toPath()).toString() }.getOrNull() }
            .filter { Regex("/pocketvl\\d+\\.cache") in it }

    private companion object {
        const val ROUNDS = 20
    }
}
