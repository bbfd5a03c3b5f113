package dev.pocketvl.text

import dev.pocketvl.media.PixelSize

/**
 * A box of an answer, in pixels of the image as it was given, upright.
 *
 * [label] is what the answer calls it, maybe nothing. [image] is the image's number in the conversation, from 0: the
 * model names none, so it is the last one.
 */
data class Box(val label: String, val image: Int, val x1: Double, val y1: Double, val x2: Double, val y2: Double)

/** A point in pixels. */
data class Point(val x: Double, val y: Double)

/** Four corners that an answer names, in the order in which it does; else like [Box]. */
data class Quad(val label: String, val image: Int, val corners: List<Point>)

/** [corners]: x1, y1, x2, y2 of a box, or x1, y1, ..., x4, y4 of a quad, in thousandths of an image. */
internal data class FoundShape(val label: String, val corners: List<Double>)

/**
 * Text piece by piece as tokens arrive. The markup's tokens become spaces where words would touch.
 *
 * A box takes the label of the object named right before it, or before other boxes of the same object.
 */
internal class AnswerText(tokenizer: Tokenizer) {
    private class Mark(val name: String, val opens: Boolean)

    private val stream = tokenizer.stream()
    private val marks = HashMap<Int, Mark>()
    private val markedBoxes = ArrayList<FoundShape>()
    private val markedQuads = ArrayList<FoundShape>()
    private val built = StringBuilder()

    /** Of which markup; empty for none. */
    private var inside = ""

    /** What was said there. */
    private val held = StringBuilder()
    private var label = ""

    /** Whether a mark came after the last text. */
    private var touches = false

    init {
        for (name in listOf("object_ref", "box", "quad")) {
            tokenizer.tokenId("<|${name}_start|>")?.let { marks[it] = Mark(name, opens = true) }
            tokenizer.tokenId("<|${name}_end|>")?.let { marks[it] = Mark(name, opens = false) }
        }
    }

    /** The text that this token completes, maybe none. */
    fun push(token: Int): String {
        val piece = stream.push(token)
        marks[token]?.let(::onMark)
        return add(piece)
    }

    /** What was held back. */
    fun finish(): String = add(stream.finish())

    /** All of it so far. */
    val text: String get() = built.toString()

    /** Those said so far: the marked ones, or those that look like one if none is marked. */
    val boxes: List<FoundShape> get() = markedBoxes.toList().ifEmpty { plainBoxes(built) }

    /** The marked ones said so far. */
    val quads: List<FoundShape> get() = markedQuads.toList()

    private fun onMark(mark: Mark) {
        if (!mark.opens && mark.name == inside) {
            val said = held.toString()
            when (inside) {
                "object_ref" -> label = said.trim { it.isSpace() }
                "box" -> parseCorners(said)?.let { markedBoxes.add(FoundShape(label, it)) }
                "quad" -> parseQuad(said)?.let { markedQuads.add(FoundShape(label, it)) }
            }
        }
        inside = if (mark.opens) mark.name else ""
        held.setLength(0)
        touches = true
    }

    private fun add(piece: String): String {
        if (piece.isEmpty()) return ""
        if (inside.isNotEmpty()) {
            held.append(piece)
        } else if (hasLetterOrDigit(piece)) {
            label = "" // another sentence
        }
        val spaced = if (touches && needsSpace(built.lastOrNull(), piece[0])) " $piece" else piece
        touches = false
        built.append(spaced)
        return spaced
    }
}

/** Whether a space belongs between two characters that a mark parted; [before] is null at the start. */
internal fun needsSpace(before: Char?, after: Char): Boolean {
    if (before == null || before.isSpace() || after.isSpace()) return false
    return before !in "([{" && after !in ".,;:!?)]}"
}

/** Of "(x1,y1), (x2,y2)" in thousandths; null for anything else, and for a box that encloses nothing. */
internal fun parseCorners(text: String): List<Double>? {
    val scanner = CornerScanner(text.trim { it.isSpace() })
    return scanner.corners(0, 2)?.takeIf { scanner.isAtEnd && isBox(it) }
}

/** Of "(x1,y1), (x2,y2), (x3,y3), (x4,y4)" in thousandths; null for anything else. */
internal fun parseQuad(text: String): List<Double>? {
    val scanner = CornerScanner(text.trim { it.isSpace() })
    return scanner.corners(0, 4)?.takeIf { scanner.isAtEnd && it.max() <= THOUSAND }
}

/** Boxes that an answer writes without marking them, as small models do; without labels. */
internal fun plainBoxes(text: CharSequence): List<FoundShape> {
    val scanner = CornerScanner(text)
    val found = ArrayList<FoundShape>()
    var at = 0
    while (at < text.length) {
        val corners = if (text[at] == '(') scanner.corners(at, 2) else null
        if (corners != null && isBox(corners)) found.add(FoundShape("", corners))
        at = if (corners != null) scanner.end else at + 1
    }
    return found
}

/** [sizes]: of the conversation's images. Without an image a box means nothing. */
internal fun boxesInPixels(found: List<FoundShape>, sizes: List<PixelSize>): List<Box> {
    val (height, width) = sizes.lastOrNull() ?: return emptyList()
    return found.map { box ->
        val (x1, y1, x2, y2) = box.corners
        Box(
            box.label,
            sizes.size - 1,
            toPixels(x1, width),
            toPixels(y1, height),
            toPixels(x2, width),
            toPixels(y2, height),
        )
    }
}

/** As [boxesInPixels]. */
internal fun quadsInPixels(found: List<FoundShape>, sizes: List<PixelSize>): List<Quad> {
    val (height, width) = sizes.lastOrNull() ?: return emptyList()
    return found.map { quad ->
        val corners = quad.corners.chunked(2) { (x, y) -> Point(toPixels(x, width), toPixels(y, height)) }
        Quad(quad.label, sizes.size - 1, corners)
    }
}

private fun isBox(corners: List<Double>): Boolean {
    val (x1, y1, x2, y2) = corners
    return x1 < x2 && x2 <= THOUSAND && y1 < y2 && y2 <= THOUSAND
}

private fun hasLetterOrDigit(text: String): Boolean {
    var at = 0
    while (at < text.length) {
        val code = text.codePointAt(at)
        if (Character.isLetter(code) || isNumber(code)) return true
        at += Character.charCount(code)
    }
    return false
}

private fun isNumber(code: Int): Boolean =
    when (Character.getType(code).toByte()) {
        Character.DECIMAL_DIGIT_NUMBER, Character.LETTER_NUMBER, Character.OTHER_NUMBER -> true
        else -> false
    }
