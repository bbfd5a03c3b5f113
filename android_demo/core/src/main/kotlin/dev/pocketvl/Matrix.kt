package dev.pocketvl

/** Rows of float32 numbers, row-major; [values] holds at least `rows * columns` of them. */
class Matrix(val rows: Int, val columns: Int, val values: FloatArray = FloatArray(Math.multiplyExact(rows, columns))) {
    init {
        require(rows >= 0 && columns >= 0) { "a matrix of $rows x $columns" }
        require(values.size >= rows.toLong() * columns) { "${values.size} values for $rows x $columns" }
    }

    operator fun get(row: Int, column: Int): Float = values[row * columns + column]

    /** A copy of rows [from] until [until]. */
    fun slice(from: Int, until: Int): Matrix =
        Matrix(until - from, columns, values.copyOfRange(from * columns, until * columns))
}
