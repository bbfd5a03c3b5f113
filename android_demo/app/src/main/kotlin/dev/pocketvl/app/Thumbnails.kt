package dev.pocketvl.app

import android.graphics.Bitmap
import android.util.LruCache
import android.widget.ImageView
import dev.pocketvl.PocketVLException
import dev.pocketvl.media.RgbImage
import dev.pocketvl.presentation.platform.ImageOpener
import dev.pocketvl.presentation.platform.Photo
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext

/**
 * Small versions of photos for the screen, decoded as the model's are: upright, whatever the file says. [scope] is that
 * of the views.
 */
class Thumbnails(private val images: ImageOpener, private val scope: CoroutineScope) {
    private val cache = LruCache<String, Bitmap>(KEPT)

    /** Fills [view] when the photo is read; a photo that cannot be read any more leaves it empty. */
    fun load(photo: Photo, view: ImageView) {
        if (view.tag == photo.uri) return
        view.tag = photo.uri
        view.setImageBitmap(cache.get(photo.uri))
        if (cache.get(photo.uri) != null) return
        scope.launch {
            val bitmap =
                try {
                    withContext(Dispatchers.IO) { read(photo) }
                } catch (_: PocketVLException) {
                    null
                }
            if (bitmap != null) cache.put(photo.uri, bitmap)
            if (view.tag == photo.uri) view.setImageBitmap(bitmap)
        }
    }

    private fun read(photo: Photo): Bitmap {
        val long = maxOf(photo.width, photo.height, 1)
        val scale = minOf(1.0, LONG_SIDE.toDouble() / long)
        val width = maxOf(1, (photo.width * scale).toInt())
        val height = maxOf(1, (photo.height * scale).toInt())
        val whole = images.open(photo).read(height, width).toBitmap()
        return if (whole.width > 2 * width) Bitmap.createScaledBitmap(whole, width, height, true) else whole
    }

    private companion object {
        const val KEPT = 12
        const val LONG_SIDE = 768
    }
}

/** The pixels as Android's canvas takes them. */
internal fun RgbImage.toBitmap(): Bitmap {
    val colors = IntArray(width * height)
    for (index in colors.indices) {
        val at = 3 * index
        val red = pixels[at].toInt() and 255
        val green = pixels[at + 1].toInt() and 255
        val blue = pixels[at + 2].toInt() and 255
        colors[index] = (255 shl 24) or (red shl 16) or (green shl 8) or blue
    }
    return Bitmap.createBitmap(colors, width, height, Bitmap.Config.ARGB_8888)
}
