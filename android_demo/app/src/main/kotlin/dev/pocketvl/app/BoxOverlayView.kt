package dev.pocketvl.app

import android.content.Context
import android.graphics.Canvas
import android.graphics.Paint
import android.util.AttributeSet
import android.util.TypedValue
import android.widget.ImageView
import dev.pocketvl.presentation.chat.Letterbox
import dev.pocketvl.presentation.chat.ViewBox
import dev.pocketvl.presentation.platform.Photo
import dev.pocketvl.text.Box

/** An image with an answer's boxes over it. All of the image is shown, in the middle (FIT_CENTER). */
class BoxOverlayView(context: Context, attributes: AttributeSet?) : ImageView(context, attributes) {
    private var photo: Photo? = null
    private var boxes: List<Box> = emptyList()
    private val line = Paint(Paint.ANTI_ALIAS_FLAG)
    private val text = Paint(Paint.ANTI_ALIAS_FLAG)
    private val back = Paint()
    private val gap = pixels(TypedValue.COMPLEX_UNIT_DIP, 4f)

    init {
        scaleType = ScaleType.FIT_CENTER
        @Suppress("DEPRECATION") // the one with a theme is in no class of API 23's for colours without a theme
        val accent = resources.getColor(R.color.box)
        line.style = Paint.Style.STROKE
        line.color = accent
        line.strokeWidth = pixels(TypedValue.COMPLEX_UNIT_DIP, 3f)
        back.color = accent
        text.color = android.graphics.Color.WHITE
        text.textSize = pixels(TypedValue.COMPLEX_UNIT_SP, 14f)
    }

    fun show(photo: Photo, boxes: List<Box>) {
        this.photo = photo
        this.boxes = boxes
        invalidate()
    }

    override fun onDraw(canvas: Canvas) {
        super.onDraw(canvas)
        val shown = photo ?: return
        if (drawable == null) return
        val map = Letterbox(shown.width, shown.height, width, height)
        for (box in boxes) map.map(box)?.let { draw(canvas, it) }
    }

    private fun draw(canvas: Canvas, box: ViewBox) {
        canvas.drawRect(box.left, box.top, box.right, box.bottom, line)
        if (box.label.isEmpty()) return
        val height = text.textSize + 2 * gap
        val top = if (box.top >= height) box.top - height else box.top
        canvas.drawRect(box.left, top, box.left + text.measureText(box.label) + 2 * gap, top + height, back)
        canvas.drawText(box.label, box.left + gap, top + gap - text.ascent() - text.descent() / 2, text)
    }

    private fun pixels(unit: Int, value: Float) = TypedValue.applyDimension(unit, value, resources.displayMetrics)
}
