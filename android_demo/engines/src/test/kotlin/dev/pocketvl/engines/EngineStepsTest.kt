package dev.pocketvl.engines

import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.ValueSource
import kotlin.math.abs
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertTrue

class EngineStepsTest {
    @ParameterizedTest
    @ValueSource(strings = ["onnx-int4", "onnx-fp32", "executorch-int4", "executorch-fp32"])
    @Suppress("UNCHECKED_CAST")
    fun `each graph gives what Python's engine gives`(name: String) {
        val bundle = EngineCases.bundle(name)
        val engine = Engines.forTarget(bundle, 1)
        val expected = EngineCases.json(name)["steps"] as Map<String, Any?>
        val tolerance = if (name.endsWith("fp32") || EngineCases.isSameRuntime(name)) 1e-5f else 0.03f
        assertNear("image embeddings", expected["image_embeddings"], engine.see(bundle, 64).values, tolerance)
        for (step in expected["decoded"] as List<Map<String, Any?>>) {
            val slot = (step["slot"] as Long).toInt()
            val hidden = engine.step(bundle, (step["count"] as Long).toInt(), slot).last()
            assertNear("hidden at $slot", step["hidden"], hidden.values, tolerance)
            assertNear("logits at $slot", step["logits"], engine.head(bundle, hidden).values, tolerance)
        }
        val many = engine.head(bundle, wave(19, hidden(name), 0.5f, 4))
        val first = FloatArray(19 * 8) { many[it / 8, it % 8] }
        assertNear("logits of 19 rows", expected["logits_of_19"], first, tolerance)
        engine.close()
    }

    @ParameterizedTest
    @ValueSource(strings = ["onnx-int4", "executorch-int4"])
    fun `what was freed is loaded again and gives the same`(name: String) {
        val bundle = EngineCases.bundle(name)
        val engine = Engines.forTarget(bundle, 1)
        engine.close() // nothing is loaded yet
        val embeddings = engine.see(bundle, 16)
        val hidden = engine.step(bundle, 3, 0)
        engine.vision.release()
        engine.vision.release()
        engine.text.close()
        engine.text.close()
        assertEquals(0, engine.text.cache.size)
        assertContentEquals(embeddings.values, engine.see(bundle, 16).values)
        assertContentEquals(hidden.values, engine.step(bundle, 3, 0).values)
        engine.close()
    }

    @ParameterizedTest
    @ValueSource(strings = ["onnx-int4", "executorch-int4"])
    fun `two engines have caches of their own and the head leaves them alone`(name: String) {
        val bundle = EngineCases.bundle(name)
        val first = Engines.forTarget(bundle, 1)
        val second = Engines.forTarget(bundle, 1)
        first.step(bundle, 4, 0)
        second.step(bundle, 4, 0)
        val expected = first.step(bundle, 1, 4)
        repeat(3) { second.head(bundle, wave(7, hidden(name), 3f, it)) }
        first.step(bundle, 6, 0)
        assertContentEquals(expected.values, second.step(bundle, 1, 4).values)
        first.close()
        second.close()
    }

    @ParameterizedTest
    @ValueSource(strings = ["onnx-int4", "executorch-int4"])
    fun `images are encoded while the decoder runs`(name: String) {
        val bundle = EngineCases.bundle(name)
        val engine = Engines.forTarget(bundle, 1)
        val embeddings = engine.see(bundle, 64)
        val hidden = engine.step(bundle, 2, 0)
        val wrong =
            java.util.concurrent.atomic
                .AtomicInteger()
        val seeing =
            List(2) {
                Thread {
                    repeat(5) {
                        if (!engine.see(bundle, 64).values.contentEquals(embeddings.values)) wrong.incrementAndGet()
                        if (it == 2) engine.vision.release()
                    }
                }.apply { start() }
            }
        repeat(30) {
            if (!engine.step(bundle, 2, 0).values.contentEquals(hidden.values)) wrong.incrementAndGet()
        }
        seeing.forEach { it.join() }
        assertEquals(0, wrong.get())
        engine.close()
    }

    private fun hidden(name: String) =
        EngineCases
            .bundle(name)
            .manifest.geometry.text.hiddenSize

    @Suppress("UNCHECKED_CAST")
    private fun assertNear(what: String, expected: Any?, found: FloatArray, tolerance: Float) {
        val numbers = expected as List<Number>
        assertEquals(numbers.size, found.size, what)
        val largest = numbers.maxOf { abs(it.toFloat()) }
        val off = numbers.indices.maxOf { abs(numbers[it].toFloat() - found[it]) }
        assertTrue(off <= tolerance * largest, "$what: off by $off, the largest is $largest")
    }
}
