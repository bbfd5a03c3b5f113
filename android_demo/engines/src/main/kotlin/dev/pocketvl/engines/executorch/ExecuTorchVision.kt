package dev.pocketvl.engines.executorch

import dev.pocketvl.Matrix
import dev.pocketvl.Names
import dev.pocketvl.VisionEngine
import dev.pocketvl.bundle.Bundle
import dev.pocketvl.engines.DirectMatrix
import dev.pocketvl.engines.checkImageInputs
import org.pytorch.executorch.EValue

/** A [VisionEngine] over vision_encoder.pte. */
internal class ExecuTorchVision(private val bundle: Bundle, private val pool: ThreadPool) : VisionEngine {
    private val manifest = bundle.manifest
    private val entries = manifest.entries(Names.VISION_ENCODER)
    private var file: LoadedFile? = null
    private var call: Call? = null // frames of a video are of one size

    @Synchronized
    override fun encode(patches: Matrix, ropeCos: Matrix, ropeSin: Matrix): Matrix {
        checkImageInputs(manifest, patches, ropeCos, ropeSin)
        val vision = manifest.geometry.vision
        val entry = entries.first { it.patches == null || it.patches!! >= patches.rows }
        val rows = entry.patches ?: patches.rows
        val loaded = file ?: LoadedFile(bundle.file(entry.file), pool, entries.map { it.method }).also { file = it }
        val prepared = call?.takeIf { it.rows == rows } ?: Call(rows, entry.patches != null).also { call = it }
        prepared.fill(patches, ropeCos, ropeSin)
        val embeddings = Matrix(rows / vision.mergeArea, vision.outputSize)
        val shape = longArrayOf(embeddings.rows.toLong(), embeddings.columns.toLong())
        loaded.run(entry.method, prepared.inputs, shape, embeddings)
        val tokens = patches.rows / vision.mergeArea
        return if (tokens == embeddings.rows) embeddings else embeddings.slice(0, tokens)
    }

    @Synchronized
    override fun release() {
        call = null
        file?.close()
        file = null
    }

    /** Memory of inputs for so many patches; those that are not there are hidden by a mask where [isStatic]. */
    private inner class Call(val rows: Int, isStatic: Boolean) {
        private val vision = manifest.geometry.vision
        private val patches = DirectMatrix(rows, vision.patchDim)
        private val ropeCos = DirectMatrix(rows, vision.headDim)
        private val ropeSin = DirectMatrix(rows, vision.headDim)
        private val mask = if (isStatic) DirectMatrix(1, rows) else null
        val inputs: Array<EValue> =
            arrayOf(
                value(patches.buffer, rows, vision.patchDim),
                value(ropeCos.buffer, rows, vision.headDim),
                value(ropeSin.buffer, rows, vision.headDim),
                *listOfNotNull(mask?.let { value(it.buffer, rows) }).toTypedArray(),
            )

        fun fill(patches: Matrix, ropeCos: Matrix, ropeSin: Matrix) {
            this.patches.fill(patches)
            this.ropeCos.fill(ropeCos)
            this.ropeSin.fill(ropeSin)
            mask?.fill(Matrix(1, rows, FloatArray(rows) { if (it < patches.rows) 1f else 0f }))
        }
    }
}
