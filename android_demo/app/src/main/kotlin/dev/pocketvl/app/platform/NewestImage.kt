package dev.pocketvl.app.platform

import android.media.Image
import android.media.ImageReader

/**
 * Holds the camera's newest image and gives back the others at once: an image that is kept takes one of the few
 * buffers that the camera writes into, and without a free one it stops.
 */
internal class NewestImage : AutoCloseable {
    private var image: Image? = null
    private var isClosed = false

    /** Takes the newest image out of [reader]; whether there was one. */
    @Synchronized
    fun refresh(reader: ImageReader): Boolean {
        if (isClosed) return false
        val newest = reader.acquireLatestImage() ?: return false
        image?.close()
        image = newest
        return true
    }

    /** What [use] makes of the newest image, which is gone afterwards; null where there is none since the last time. */
    @Synchronized
    fun <T> take(use: (Image) -> T): T? {
        val taken = image ?: return null
        image = null
        return taken.use(use)
    }

    @Synchronized
    override fun close() {
        isClosed = true
        image?.close()
        image = null
    }
}
