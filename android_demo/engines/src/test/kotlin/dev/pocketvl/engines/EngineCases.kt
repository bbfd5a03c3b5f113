package dev.pocketvl.engines

import ai.onnxruntime.OrtEnvironment
import dev.pocketvl.CacheTensor
import dev.pocketvl.Engine
import dev.pocketvl.Matrix
import dev.pocketvl.bundle.Bundle
import dev.pocketvl.bundle.Verify
import dev.pocketvl.bundle.openBundle
import dev.pocketvl.json.Json
import org.junit.jupiter.api.Assumptions.assumeTrue
import java.io.File

/** What tests/kotlin/engine_cases.py wrote: bundles of the tiny model, and what Python's engines make of them. */
internal object EngineCases {
    val names = listOf("onnx-int4", "onnx-fp32", "executorch-int4", "executorch-fp32")

    fun folder(name: String): File {
        val cases = System.getProperty("pocketvl.cases")
        assumeTrue(cases != null, "no bundles were exported")
        val library = if (name.startsWith("onnx")) "onnxruntime.native.path" else "pocketvl.executorch"
        assumeTrue(System.getProperty(library) != null, "$library is not set")
        return File(cases, name)
    }

    fun bundle(name: String): Bundle = openBundle(folder(name), Verify.NEVER)

    fun open(name: String, threads: Int? = 1): Engine = Engines.forTarget(bundle(name), threads)

    /**
     * Whether Python's numbers come from the very runtime that runs here. Versions of onnxruntime round activations to
     * 8 bits differently, so quantized bundles give other numbers, and an answer in twenty or so is another one.
     */
    fun isSameRuntime(name: String): Boolean =
        !name.startsWith("onnx") || json(name)["runtime"] == OrtEnvironment.getEnvironment().version

    @Suppress("UNCHECKED_CAST")
    fun json(file: String): Map<String, Any?> =
        Json.parse(File(System.getProperty("pocketvl.cases"), "$file.json").readText()) as Map<String, Any?>
}

/** The numbers of wave() in engine_cases.py. */
internal fun wave(rows: Int, columns: Int, scale: Float, seed: Int): Matrix =
    Matrix(
        rows,
        columns,
        FloatArray(rows * columns) { index ->
            val step = Math.floorMod(index.toLong() * 37 + seed * 11L, 101L).toInt() - 50
            step / 50f * scale
        },
    )

/** A step of the decoder over the numbers of _steps() in engine_cases.py. */
internal fun Engine.step(bundle: Bundle, count: Int, slot: Int): Matrix {
    val text = bundle.manifest.geometry.text
    val hidden = Matrix(count, text.hiddenSize)
    this.text.decode(
        wave(count, text.hiddenSize, 0.05f, slot + 1),
        wave(count, text.headDim, 1f, slot + 2),
        wave(count, text.headDim, 1f, slot + 3),
        slot,
        hidden,
    )
    return hidden
}

internal fun Engine.head(bundle: Bundle, hidden: Matrix): Matrix =
    Matrix(hidden.rows, bundle.manifest.geometry.text.vocabSize).also { text.logits(hidden, it) }

internal fun Engine.see(bundle: Bundle, patches: Int): Matrix {
    val vision = bundle.manifest.geometry.vision
    return this.vision.encode(
        wave(patches, vision.patchDim, 1f, 1),
        wave(patches, vision.headDim, 1f, 2),
        wave(patches, vision.headDim, 1f, 3),
    )
}

internal fun Matrix.last(): Matrix = slice(rows - 1, rows)

internal fun CacheTensor.sameAs(other: CacheTensor?): Boolean =
    other != null && dtype == other.dtype && shape == other.shape && bytes.contentEquals(other.bytes)
