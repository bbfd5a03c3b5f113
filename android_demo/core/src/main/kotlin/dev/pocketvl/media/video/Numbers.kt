package dev.pocketvl.media.video

import java.math.BigDecimal
import java.math.MathContext
import java.math.RoundingMode

private const val DIGITS = 6

/** As C's %g: six significant digits without trailing zeros, an exponent where it is short. */
internal fun asGeneral(value: Double): String {
    if (value == 0.0 || value.isNaN() || value.isInfinite()) return value.toString().removeSuffix(".0")
    val rounded = BigDecimal(value).round(MathContext(DIGITS, RoundingMode.HALF_EVEN)).stripTrailingZeros()
    val exponent = rounded.precision() - rounded.scale() - 1
    if (exponent in -4 until DIGITS) return rounded.toPlainString()
    val digits = rounded.unscaledValue().abs().toString()
    val fraction = if (digits.length > 1) "." + digits.substring(1) else ""
    val sign = if (value < 0) "-" else ""
    val power = Math.abs(exponent).toString().padStart(2, '0')
    return "$sign${digits[0]}${fraction}e${if (exponent < 0) "-" else "+"}$power"
}

/** With so many digits after the point. */
internal fun asFixed(value: Double, digits: Int): String =
    BigDecimal(value).setScale(digits, RoundingMode.HALF_EVEN).toPlainString()

/** The number next to [value] that is written with so many significant digits. */
internal fun toDigits(value: Double, digits: Int): Double =
    BigDecimal(value).round(MathContext(digits, RoundingMode.HALF_EVEN)).toDouble()
