package dev.pocketvl

import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class MatrixTest {
    @Test
    fun `a slice is a copy`() {
        val matrix = Matrix(2, 2, floatArrayOf(1f, 2f, 3f, 4f))
        val slice = matrix.slice(1, 2)
        matrix.values[2] = 9f
        assertEquals(listOf(3f, 4f), slice.values.toList())
    }

    @Test
    fun `too few values are refused`() {
        assertFailsWith<IllegalArgumentException> { Matrix(2, 2, FloatArray(3)) }
    }
}
