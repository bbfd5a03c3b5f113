package dev.pocketvl.presentation.policy

import dev.pocketvl.presentation.manifest
import dev.pocketvl.presentation.platform.Memory
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.CsvSource
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertTrue

class MemoryPolicyTest {
    @Test
    fun `the need is counted by component`() {
        val need = MemoryPolicy.need(manifest())
        assertEquals(970_000_000, need.weights)
        assertEquals(680_000_000 + 1024 * (1176 + 8 * 1280 + 2 * 5120) * 4L, need.vision)
        assertEquals(117_440_512, need.cache) // 28 layers, keys and values of 2 heads of 128 floats, 2048 tokens
        assertEquals(need.weights + need.vision + need.cache + need.working, need.total)
    }

    @Test
    fun `an int4 bundle needs somewhat more than what was measured for one question`() {
        val measured = 1_530_000_000L // docs/benchmarks.md; the vision encoder was released before decoding
        val need = MemoryPolicy.need(manifest()).total
        assertTrue(need in measured..measured * 3 / 2, "$need")
    }

    @Test
    fun `files of the vision encoder are told by their names in every target`() {
        val onnx = listOf("onnx/host_text_decoder.onnx" to 3L, "onnx/host_vision_encoder.onnx" to 5L)
        val data = listOf("onnx/vision_encoder_int8.onnx_data" to 70L, "onnx/decoder_model_merged_q4.onnx_data" to 900L)
        val need = MemoryPolicy.need(manifest(onnx + data, buckets = listOf(4)))
        assertEquals(75 + 4 * (1176 + 8 * 1280 + 2 * 5120) * 4L, need.vision)
        assertEquals(903, need.weights)
    }

    @ParameterizedTest
    @CsvSource(
        "1000, 2000, false, FITS",
        "999, 2000, false, TIGHT",
        "1000, 2000, true, TIGHT",
        "999, 1000, false, TIGHT",
        "900, 999, false, TOO_LARGE",
        "900, 999, true, TOO_LARGE",
    )
    fun `a bundle that needs 1000 bytes`(available: Long, total: Long, isLow: Boolean, expected: MemoryVerdict) {
        val need = MemoryNeed(weights = 400, vision = 300, cache = 200, working = 100)
        assertEquals(expected, MemoryPolicy.verdict(need, Memory(available, total, isLow, process = 0)))
    }

    @ParameterizedTest
    @CsvSource(
        "0, NOTHING",
        "4, NOTHING",
        "5, VISION",
        "9, VISION",
        "10, CACHE",
        "14, CACHE",
        "15, WEIGHTS",
        "20, VISION",
        "39, VISION",
        "40, WEIGHTS",
        "60, WEIGHTS",
        "80, WEIGHTS",
    )
    fun `levels of onTrimMemory`(level: Int, expected: Release) {
        assertEquals(expected, MemoryPolicy.onTrimMemory(level))
    }
}
