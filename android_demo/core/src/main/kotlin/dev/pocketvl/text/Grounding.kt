package dev.pocketvl.text

import dev.pocketvl.PromptException
import dev.pocketvl.media.PixelSize
import kotlin.math.floor
import kotlin.math.min

/** The model counts in thousandths of an image's width and height (arXiv:2409.12191, section 2.1). */
const val THOUSAND = 1000

/** What a [Shape] is: two corners or four. */
enum class ShapeKind(
    /** As in the markup: `<|box_start|>`. */
    val label: String,
    internal val count: Int,
) {
    BOX("box", 4),
    QUAD("quad", 8),
}

/**
 * A box (two corners) or a quad (four) that a message names; see [Shape.box] and its like.
 *
 * [numbers]: x1, y1, x2, y2, ... in thousandths of the last image before the shape, or in pixels of an upright image
 * if [inPixels]: of the one of number [image] in the conversation, from 0; null is the last one before the shape.
 * Throws [PromptException] for numbers that are no such shape.
 */
data class Shape(
    val kind: ShapeKind,
    val numbers: List<Double>,
    val inPixels: Boolean = false,
    val image: Int? = null,
) : Part {
    init {
        val most = if (inPixels) Double.MAX_VALUE else THOUSAND.toDouble()
        if (numbers.size != kind.count) {
            throw PromptException("A ${kind.label} has ${kind.count} numbers x1, y1, x2, y2, ..., not ${numbers.size}.")
        }
        numbers.firstOrNull { !(it in 0.0..most) }?.let {
            throw PromptException(
                "A ${kind.label} holds $it, but coordinates lie in 0..$THOUSAND of the image, or in the image as" +
                    " pixels.",
            )
        }
        // Of a thin box in pixels, rounding may leave a line.
        if (kind == ShapeKind.BOX && if (inPixels) !encloses(numbers) else isReversed(numbers)) throw enclosesNothing()
        if (image != null && !(inPixels && image >= 0)) {
            throw PromptException("A shape names its image by a number from 0, and only if it is in pixels.")
        }
    }

    companion object {
        /** In thousandths of the last image before it. */
        @JvmStatic
        fun box(x1: Double, y1: Double, x2: Double, y2: Double): Shape {
            val numbers = listOf(x1, y1, x2, y2)
            if (!encloses(numbers)) throw enclosesNothing()
            return Shape(ShapeKind.BOX, numbers)
        }

        /** In pixels of the image of that number, or of the last one before it. */
        @JvmStatic
        @JvmOverloads
        fun boxInPixels(x1: Double, y1: Double, x2: Double, y2: Double, image: Int? = null): Shape =
            Shape(ShapeKind.BOX, listOf(x1, y1, x2, y2), inPixels = true, image = image)

        /** x1, y1, ..., x4, y4 in thousandths of the last image before it. */
        @JvmStatic
        fun quad(numbers: List<Double>): Shape = Shape(ShapeKind.QUAD, numbers)

        private fun encloses(n: List<Double>) = n[0] < n[2] && n[1] < n[3]

        private fun isReversed(n: List<Double>) = n[0] > n[2] || n[1] > n[3]

        private fun enclosesNothing() =
            PromptException("A box encloses nothing; give the upper left corner, then the lower right.")
    }
}

/** A pixel coordinate along a side of [side] pixels; halves are rounded up. */
internal fun toThousandths(value: Double, side: Int): Int =
    min(THOUSAND.toDouble(), floor(value * THOUSAND / side + 0.5)).toInt()

/** The inverse of [toThousandths], without rounding. */
internal fun toPixels(value: Double, side: Int): Double = value * side / THOUSAND

/**
 * The shape in thousandths. [sizes] are those of all images before the shape, or of all there are if it names one.
 *
 * Throws [PromptException] where there is no such image, or the shape lies outside of it.
 */
internal fun inThousandths(shape: Shape, sizes: List<PixelSize>): Shape {
    if (!shape.inPixels) return shape
    val number = shape.image ?: (sizes.size - 1)
    val sides =
        sizes.getOrNull(number) ?: throw PromptException(
            "A ${shape.kind.label} in pixels refers to image ${number.coerceAtLeast(0)}, but there are ${sizes.size}" +
                " images (counted from 0); put it after its image, or give thousandths.",
        )
    val outside = shape.numbers.withIndex().any { (i, value) -> value > if (i % 2 == 0) sides.width else sides.height }
    if (outside) {
        throw PromptException(
            "The ${shape.kind.label} ${shape.numbers} lies outside of image $number, which has" +
                " ${sides.width}x${sides.height} pixels.",
        )
    }
    val numbers =
        shape.numbers.mapIndexed { i, value ->
            toThousandths(value, if (i % 2 == 0) sides.width else sides.height).toDouble()
        }
    return Shape(shape.kind, numbers)
}

/** The numbers as the model writes them: (x1,y1), (x2,y2), whole thousandths. */
internal fun markup(shape: Shape): String =
    shape.numbers
        .map { toThousandths(it, THOUSAND) }
        .chunked(2)
        .joinToString(",") { (x, y) -> "($x,$y)" }
