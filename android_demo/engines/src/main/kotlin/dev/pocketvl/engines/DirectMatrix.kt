package dev.pocketvl.engines

import dev.pocketvl.Matrix
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.FloatBuffer

/** Memory for [rows] x [columns] floats that native code reads and writes in place. */
internal class DirectMatrix(val rows: Int, val columns: Int) {
    val buffer: FloatBuffer =
        ByteBuffer
            .allocateDirect(Math.multiplyExact(Math.multiplyExact(rows, columns), Float.SIZE_BYTES))
            .order(ByteOrder.nativeOrder())
            .asFloatBuffer()

    /** Copies all of [matrix] to the first rows; the rest becomes zeros. */
    fun fill(matrix: Matrix) = fill(matrix, 0, matrix.rows)

    /** Copies the rows [from] until [until] of [matrix] to the first rows; the rest becomes zeros. */
    fun fill(matrix: Matrix, from: Int, until: Int) {
        buffer.clear()
        buffer.put(matrix.values, from * columns, (until - from) * columns)
        while (buffer.hasRemaining()) buffer.put(0f)
        buffer.clear()
    }

    /** Copies the first rows to the rows [from] until [until] of [matrix]. */
    fun copyTo(matrix: Matrix, from: Int, until: Int) {
        buffer.clear()
        buffer.get(matrix.values, from * columns, (until - from) * columns)
        buffer.clear()
    }
}
