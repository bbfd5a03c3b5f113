package dev.pocketvl.engines

import dev.pocketvl.BundleException
import dev.pocketvl.EngineException
import dev.pocketvl.Matrix
import org.junit.jupiter.api.Test
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.ValueSource
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class EngineChecksTest {
    @ParameterizedTest
    @ValueSource(strings = ["onnx-int4", "executorch-int4"])
    fun `inputs that do not fit never reach native code`(name: String) {
        val bundle = EngineCases.bundle(name)
        val engine = EngineCases.open(name)
        val (vision, text) = bundle.manifest.geometry
        val chunk = bundle.manifest.prefillChunk
        val context = bundle.manifest.maxContext

        fun refused(part: String, body: () -> Unit) =
            assertContains(assertFailsWith<EngineException> { body() }.message!!, part)

        fun encode(rows: Int, columns: Int, ropeRows: Int = rows) =
            engine.vision.encode(
                Matrix(rows, columns),
                Matrix(ropeRows, vision.headDim),
                Matrix(rows, vision.headDim),
            )

        fun decode(rows: Int, slot: Int, columns: Int = text.hiddenSize, hiddenRows: Int = rows) =
            engine.text.decode(
                Matrix(rows, columns),
                Matrix(rows, text.headDim),
                Matrix(rows, text.headDim),
                slot,
                Matrix(hiddenRows, text.hiddenSize),
            )
        refused("An image of 0 patches") { encode(0, vision.patchDim) }
        refused("An image of 6 patches") { encode(6, vision.patchDim) }
        refused("multiples of 4 up to") { encode(bundle.manifest.buckets.last() + 4, vision.patchDim) }
        refused("patches must be (16, ${vision.patchDim}), not (16, 7)") { encode(16, 7) }
        refused("ropeCos must be") { encode(16, vision.patchDim, ropeRows = 12) }
        refused("0 tokens were given") { decode(0, 0) }
        refused("${chunk + 1} tokens were given") { decode(chunk + 1, 0) }
        refused("lie outside the context") { decode(1, -1) }
        refused("lie outside the context") { decode(2, context - 1) }
        refused("lie outside the context") { decode(1, Int.MAX_VALUE) }
        refused("embeddings must be") { decode(1, 0, columns = 5) }
        refused("hidden must be") { decode(2, 0, hiddenRows = 1) }
        refused("hidden must be") { engine.text.logits(Matrix(0, text.hiddenSize), Matrix(0, text.vocabSize)) }
        refused("logits must be") { engine.text.logits(Matrix(2, text.hiddenSize), Matrix(1, text.vocabSize)) }
        decode(1, context - 1)
        engine.close()
    }

    @Test
    fun `a bundle goes to the engine of its target`() {
        val onnx = EngineCases.bundle("onnx-int4")
        val executorch = EngineCases.bundle("executorch-int4")
        val failure = assertFailsWith<BundleException> { OnnxEngine.open(executorch) }
        assertContains(failure.message!!, "is a bundle for executorch, not for onnx")
        assertFailsWith<BundleException> { ExecuTorchEngine.open(onnx) }
    }

    @ParameterizedTest
    @ValueSource(ints = [0, -1, 257])
    fun `numbers of threads that no machine has are refused`(threads: Int) {
        for (name in listOf("onnx-int4", "executorch-int4")) {
            val bundle = EngineCases.bundle(name)
            val failure = assertFailsWith<EngineException> { Engines.forTarget(bundle, threads) }
            assertEquals("$threads threads were asked for; give 1..256, one a core is best.", failure.message)
        }
    }

    @Test
    fun `ExecuTorch's pool is not replaced under a method that uses it`() {
        val bundle = EngineCases.bundle("executorch-int4")
        val first = Engines.forTarget(bundle, 1)
        val second = Engines.forTarget(bundle, 2)
        first.step(bundle, 1, 0)
        val failure = assertFailsWith<EngineException> { second.step(bundle, 1, 0) }
        assertContains(failure.message!!, "with 1 thread and cannot go on with 2 threads")
        first.step(bundle, 1, 1)
        first.close()
        second.step(bundle, 1, 0)
        second.close()
    }
}
