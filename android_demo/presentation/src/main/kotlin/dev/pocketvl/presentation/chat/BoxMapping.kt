package dev.pocketvl.presentation.chat

import dev.pocketvl.text.Box

/** A rectangle in pixels of a view. */
data class ViewBox(val left: Float, val top: Float, val right: Float, val bottom: Float, val label: String)

/**
 * Where an image lies in a view that shows all of it, as large as it can be and in the middle: ImageView's
 * FIT_CENTER. What is left of the view are bars at two sides.
 *
 * Sizes in pixels; the image's are those that boxes are in, whatever was sampled down for display.
 */
class Letterbox(imageWidth: Int, imageHeight: Int, viewWidth: Int, viewHeight: Int) {
    private val width = imageWidth.toFloat()
    private val height = imageHeight.toFloat()

    /** View pixels for an image pixel. */
    val scale: Float =
        if (imageWidth > 0 && imageHeight > 0) minOf(viewWidth / width, viewHeight / height).coerceAtLeast(0f) else 0f
    val left: Float = (viewWidth - width * scale) / 2
    val top: Float = (viewHeight - height * scale) / 2

    /** The box in the view; parts outside of the image are cut off. Null where nothing of it is left. */
    fun map(box: Box): ViewBox? {
        val x1 = box.x1.toFloat().coerceIn(0f, width)
        val x2 = box.x2.toFloat().coerceIn(0f, width)
        val y1 = box.y1.toFloat().coerceIn(0f, height)
        val y2 = box.y2.toFloat().coerceIn(0f, height)
        if (x1 >= x2 || y1 >= y2 || scale == 0f) return null
        return ViewBox(left + x1 * scale, top + y1 * scale, left + x2 * scale, top + y2 * scale, box.label)
    }
}
