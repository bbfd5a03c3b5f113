package dev.pocketvl.engines

import dev.pocketvl.CacheTensor
import dev.pocketvl.EngineException
import dev.pocketvl.SavesCache
import org.junit.jupiter.api.Test
import java.io.File
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue

class SavedCacheTest {
    private val bundle = EngineCases.bundle("onnx-int4")

    @Test
    fun `a cache goes on in another engine`() {
        val from = Engines.forTarget(bundle, 1)
        from.step(bundle, 5, 0)
        val saved = (from.text as SavesCache).saveCache(5)
        val text = bundle.manifest.geometry.text
        assertEquals(text.numLayers * 2, saved.size)
        assertEquals(listOf(1, text.numKvHeads, 5, text.headDim), saved.getValue("past_key_values.0.key").shape)
        val to = Engines.forTarget(bundle, 1)
        to.step(bundle, 9, 0)
        assertEquals(5, (to.text as SavesCache).loadCache(saved))
        assertTrue((to.text as SavesCache).saveCache(5).all { (name, tensor) -> tensor.sameAs(saved[name]) })
        assertContentEquals(from.step(bundle, 2, 5).values, to.step(bundle, 2, 5).values)
        from.close()
        to.close()
    }

    @Test
    fun `tensors of another model are refused and change nothing`() {
        val engine = Engines.forTarget(bundle, 1)
        engine.step(bundle, 3, 0)
        val text = engine.text as SavesCache
        val good = text.saveCache(3)
        val one = good.getValue("past_key_values.0.key")
        val shape = one.shape
        val bad =
            listOf(
                emptyMap(),
                good - "past_key_values.0.key",
                good + ("more" to one),
                good - "past_key_values.0.key" + ("other" to one),
                good + ("past_key_values.0.key" to CacheTensor("float16", shape, one.bytes)),
                good + ("past_key_values.0.key" to CacheTensor("float32", shape, one.bytes.copyOf(8))),
                good + ("past_key_values.0.key" to CacheTensor("float32", listOf(1, 3), one.bytes)),
                good + ("past_key_values.1.key" to text.saveCache(2).getValue("past_key_values.1.key")),
                good.mapValues { CacheTensor("float32", listOf(1, shape[1], -1, shape[3]), it.value.bytes) },
                good.mapValues { CacheTensor("float32", listOf(1, shape[1], 1 shl 30, shape[3]), it.value.bytes) },
            )
        for (tensors in bad) assertFailsWith<EngineException> { text.loadCache(tensors) }
        val expected = engine.step(bundle, 1, 3)
        assertEquals(3, text.loadCache(good))
        assertContentEquals(expected.values, engine.step(bundle, 1, 3).values)
        engine.close()
    }

    @Test
    fun `ExecuTorch's stock Module lets no buffers out`() {
        assertFalse(EngineCases.open("executorch-int4").text is SavesCache)
    }

    @Test
    fun `slots take memory when they are written, and give it back when the engine is closed`() {
        val engine = Engines.forTarget(bundle, 1)
        val text = bundle.manifest.geometry.text
        val whole = text.numLayers * 2L * text.numKvHeads * text.headDim * bundle.manifest.maxContext * 4
        engine.step(bundle, 1, 0)
        val loaded = cacheMemory()
        assertTrue(loaded < whole / 2, "$loaded bytes of $whole for one slot")
        for (slot in 0 until bundle.manifest.maxContext step bundle.manifest.prefillChunk) {
            engine.step(bundle, bundle.manifest.prefillChunk, slot)
        }
        val full = cacheMemory()
        assertTrue(full >= whole, "$full bytes of $whole for all slots")
        engine.close()
        assertTrue(cacheMemory() < whole / 10, "${cacheMemory()} bytes after closing")
    }

    /** Bytes of this process's private mappings of the cache's files. */
    private fun cacheMemory(): Long {
        var inCache = false
        var bytes = 0L
        for (line in File("/proc/self/smaps").readLines()) {
            if (line.contains("-") && !line.contains("kB") && !line.startsWith("VmFlags")) {
                inCache = line.contains(".cache (deleted)")
            }
            if (inCache && line.startsWith("Private_Dirty:")) bytes += line.filter { it.isDigit() }.toLong() * 1024
        }
        return bytes
    }
}
