package dev.pocketvl.presentation.text

import java.text.NumberFormat
import java.util.Locale

/**
 * Numbers as the user's language writes them, without units: those are in the app's string resources.
 *
 * For one thread at a time, as [NumberFormat] is.
 */
class Numbers(private val locale: Locale) {
    private val formats = HashMap<Int, NumberFormat>()

    /** With exactly [digits] digits after the decimal separator, rounded half up; "–" for what is no number. */
    fun decimal(value: Double, digits: Int): String =
        if (value.isNaN() || value.isInfinite()) {
            NONE
        } else {
            format(digits).format(if (Math.round(value * POWERS[digits]) == 0L) 0.0 else value) // never "-0.0"
        }

    fun whole(value: Long): String = format(0).format(value)

    /** Two digits below ten, one below a hundred, else none: 1.42, 12.7, 312. */
    fun significant(value: Double): String {
        val size = Math.abs(value)
        return decimal(
            value,
            if (size < 9.995) {
                2
            } else if (size < 99.95) {
                1
            } else {
                0
            },
        )
    }

    /** Bytes in millions, as shops and file managers count: 1,652. */
    fun megabytes(bytes: Long): String = decimal(bytes / 1e6, 0)

    /** Bytes in thousand millions, two digits: 1.65. */
    fun gigabytes(bytes: Long): String = decimal(bytes / 1e9, 2)

    /** From 0 to 100, rounded down, so that 100 means done; 0 where there is nothing to do. */
    fun percent(done: Long, total: Long): Int =
        if (total <= 0) 0 else (done.coerceIn(0, total).toDouble() * 100 / total).toInt()

    private fun format(digits: Int): NumberFormat =
        formats.getOrPut(digits) {
            NumberFormat.getNumberInstance(locale).apply {
                minimumFractionDigits = digits
                maximumFractionDigits = digits
                roundingMode = java.math.RoundingMode.HALF_UP
            }
        }

    private companion object {
        const val NONE = "–"
        val POWERS = doubleArrayOf(1.0, 10.0, 100.0, 1000.0)
    }
}
