/*
 * Rotary positions, all computed on the host in float32, so that no graph knows about them.
 *
 * Vision: a patch has a row and a column, each turning a quarter of headDim's frequencies.
 * Text (M-RoPE): a token has three ids (t, h, w); mropeSection says which frequencies turn by which id.
 */
@file:JvmName("Positions")

package dev.pocketvl

import dev.pocketvl.bundle.SpecialTokens
import dev.pocketvl.bundle.TextGeometry
import dev.pocketvl.bundle.VisionGeometry
import dev.pocketvl.decoding.Grid
import kotlin.math.cos
import kotlin.math.pow
import kotlin.math.sin

private const val VISION_THETA = 10000.0

/** Cosine and sine of the rotary angles, (tokens or patches, headDim) each. */
class Rope(val cos: Matrix, val sin: Matrix)

/** M-RoPE [ids], each (S,): t, h and w of every token; [next] is the position where the next call starts. */
class MropeIds(val ids: Array<IntArray>, val next: Int)

/** (rows * columns, 2), row-major: row and column of each patch, in the order of patchify's rows. */
fun visionPositions(rows: Int, columns: Int, merge: Int): IntArray {
    val positions = IntArray(2 * rows * columns)
    var at = 0
    for (top in 0..rows - merge step merge) {
        for (left in 0..columns - merge step merge) {
            for (row in top until top + merge) {
                for (column in left until left + merge) {
                    positions[at++] = row
                    positions[at++] = column
                }
            }
        }
    }
    return positions
}

/** cos and sin (rows * columns, headDim) of one temporal slice; every slice of a video has the same. */
fun visionRope(rows: Int, columns: Int, vision: VisionGeometry): Rope {
    val positions = visionPositions(rows, columns, vision.spatialMergeSize)
    val frequencies = visionFrequencies(vision)
    val rope = Rope(Matrix(rows * columns, vision.headDim), Matrix(rows * columns, vision.headDim))
    // Rows and columns take few values: each value's angles are computed once.
    val longest = maxOf(rows, columns)
    val cosines = FloatArray(longest * frequencies.size)
    val sines = FloatArray(longest * frequencies.size)
    for (position in 0 until longest) {
        for (index in frequencies.indices) {
            val angle = position.toFloat() * frequencies[index]
            cosines[position * frequencies.size + index] = cos(angle.toDouble()).toFloat()
            sines[position * frequencies.size + index] = sin(angle.toDouble()).toFloat()
        }
    }
    // The row's angles, then the column's, and both again for the second half of a head.
    for (patch in 0 until rows * columns) {
        for (quarter in 0 until 4) {
            val from = positions[2 * patch + quarter % 2] * frequencies.size
            val to = patch * vision.headDim + quarter * frequencies.size
            cosines.copyInto(rope.cos.values, to, from, from + frequencies.size)
            sines.copyInto(rope.sin.values, to, from, from + frequencies.size)
        }
    }
    return rope
}

/** (headDim / 4,): radians per row, and per column. */
fun visionFrequencies(vision: VisionGeometry): FloatArray = frequencies(VISION_THETA, vision.headDim / 2)

/**
 * M-RoPE ids of tokens that follow position [start] - 1.
 *
 * [grids] are the patch grids of the images and videos in order of appearance; each stands as t * h * w / merge^2
 * pad tokens. Text goes up by one on all axes; whatever follows a block starts at the largest id so far plus one.
 * Throws [PromptException] where tokens and grids do not belong together.
 */
fun mropePositions(
    tokenIds: IntArray,
    grids: List<Grid>,
    special: SpecialTokens,
    merge: Int,
    start: Int = 0,
): MropeIds {
    val ids = Array(3) { IntArray(tokenIds.size) }
    var used = 0
    var index = 0
    var position = start
    while (index < tokenIds.size) {
        val pad = tokenIds[index]
        if (pad != special.imagePad && pad != special.videoPad) {
            for (axis in ids) axis[index] = position
            index++
            position++
            continue
        }
        if (used == grids.size) {
            throw PromptException(
                "The prompt has more image placeholders than the ${grids.size} images given; give one image for each.",
            )
        }
        val grid = grids[used++]
        checkPads(tokenIds, index, grid, merge)
        index = placeBlock(ids, index, grid, merge, position)
        position += maxOf(grid.t, grid.h / merge, grid.w / merge)
    }
    if (used < grids.size) {
        throw PromptException(
            "The prompt has fewer image placeholders than the ${grids.size} images given; put each image into a" +
                " message.",
        )
    }
    return MropeIds(ids, position)
}

/** cos and sin (S, headDim) for M-RoPE [ids], three of (S,): t, h, w. */
fun textRope(ids: Array<IntArray>, text: TextGeometry): Rope {
    val count = ids[0].size
    val rope = Rope(Matrix(count, text.headDim), Matrix(count, text.headDim))
    TextRope(text).fill(ids, 0, rope.cos, rope.sin)
    return rope
}

/** [textRope] for many calls: the frequencies are computed once, and results go where the caller says. */
class TextRope(text: TextGeometry) {
    private val frequencies = textFrequencies(text)

    /** The axis whose id turns each frequency. */
    private val axes = IntArray(frequencies.size)

    init {
        var at = 0
        text.mropeSection.forEachIndexed { axis, count -> repeat(count) { axes[at++] = axis } }
    }

    /** Fills all rows of [cos] and [sin], (S, headDim), with the angles of the tokens [from] until `from + S`. */
    fun fill(ids: Array<IntArray>, from: Int, cos: Matrix, sin: Matrix) {
        val half = frequencies.size
        for (row in 0 until cos.rows) {
            val to = row * cos.columns
            for (index in 0 until half) {
                val angle = (ids[axes[index]][from + row].toFloat() * frequencies[index]).toDouble()
                val cosine = cos(angle).toFloat()
                val sine = sin(angle).toFloat()
                // In both halves of a head, since its first half is rotated against its second.
                cos.values[to + index] = cosine
                cos.values[to + half + index] = cosine
                sin.values[to + index] = sine
                sin.values[to + half + index] = sine
            }
        }
    }
}

/** (headDim / 2,): radians per step of the axis that mropeSection gives a frequency to. */
fun textFrequencies(text: TextGeometry): FloatArray = frequencies(text.ropeTheta, text.headDim)

/** (dim / 2,): theta^(-2i / dim). The power is taken in float64, so that every language gets these bits. */
private fun frequencies(theta: Double, dim: Int): FloatArray =
    FloatArray(dim / 2) { 1f / theta.pow(((2 * it).toFloat() / dim.toFloat()).toDouble()).toFloat() }

private fun checkPads(tokenIds: IntArray, from: Int, grid: Grid, merge: Int) {
    val count = grid.t.toLong() * (grid.h / merge) * (grid.w / merge)
    val fits =
        count <= tokenIds.size - from &&
            (from until from + count.toInt()).all { tokenIds[it] == tokenIds[from] }
    if (!fits || count < 1) {
        throw PromptException(
            "An image of (${grid.t}, ${grid.h}, ${grid.w}) patches needs $count placeholder tokens in a row at token" +
                " $from, and the prompt has fewer; build it with PromptEncoder.",
        )
    }
}

/** Writes t, h and w of a block's tokens, counted from [position]; returns the index after them. */
private fun placeBlock(ids: Array<IntArray>, from: Int, grid: Grid, merge: Int, position: Int): Int {
    var index = from
    for (t in 0 until grid.t) {
        for (h in 0 until grid.h / merge) {
            for (w in 0 until grid.w / merge) {
                ids[0][index] = position + t
                ids[1][index] = position + h
                ids[2][index] = position + w
                index++
            }
        }
    }
    return index
}
