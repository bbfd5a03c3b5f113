package dev.pocketvl.app.platform

import android.content.ContentResolver
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.ColorSpace
import android.graphics.ImageDecoder
import android.net.Uri
import android.os.Build
import dev.pocketvl.ImageException
import dev.pocketvl.media.ImageFormat
import dev.pocketvl.media.ImageHeader
import dev.pocketvl.media.ImageSource
import dev.pocketvl.media.Orientation
import dev.pocketvl.media.PixelSize
import dev.pocketvl.media.RgbImage
import dev.pocketvl.media.readImageHeader
import dev.pocketvl.media.readUpright
import java.io.IOException
import java.io.InputStream

/** An image behind a content Uri, decoded by Android in sRGB and sampled down where it is huge. */
class ContentImage(private val resolver: ContentResolver, private val uri: Uri, override val name: String) :
    ImageSource {
    private val header: ImageHeader by lazy { open { readImageHeader(it, name) } }

    override fun size(): PixelSize = header.upright

    override fun read(height: Int, width: Int): RgbImage {
        val wanted = PixelSize(height, width)
        val isTurned = header.format == ImageFormat.HEIF || header.format == ImageFormat.AVIF
        val bitmap = if (isTurned) decodeTurned(wanted) else decodeStored(wanted)
        try {
            val size = PixelSize(bitmap.height, bitmap.width)
            val orientation = if (isTurned) Orientation.UPRIGHT else header.orientation
            return readUpright(size, orientation, wanted) { x, y, columns, rows, into ->
                bitmap.getPixels(into, 0, columns, x, y, columns, rows)
            }
        } finally {
            bitmap.recycle() // up to 128 MiB, which should not wait for the garbage collector
        }
    }

    /** As it is stored: BitmapFactory leaves the EXIF orientation alone. */
    private fun decodeStored(wanted: PixelSize): Bitmap {
        val options =
            BitmapFactory.Options().apply {
                inSampleSize = header.sampling(wanted)
                inPreferredConfig = Bitmap.Config.ARGB_8888
                inPremultiplied = false
                inScaled = false
                inPreferredColorSpace = ColorSpace.get(ColorSpace.Named.SRGB)
            }
        return open { BitmapFactory.decodeStream(it, null, options) } ?: throw damaged("Android's decoder refuses it")
    }

    /** HEIF and AVIF keep a rotation of their own, which ImageDecoder applies. */
    private fun decodeTurned(wanted: PixelSize): Bitmap {
        if (Build.VERSION.SDK_INT < ANDROID_9) {
            throw ImageException("$name is in ${header.format}, which this Android does not decode; save it as JPEG.")
        }
        try {
            return ImageDecoder.decodeBitmap(ImageDecoder.createSource(resolver, uri)) { decoder, _, _ ->
                decoder.setTargetSampleSize(header.sampling(wanted))
                decoder.setAllocator(ImageDecoder.ALLOCATOR_SOFTWARE) // getPixels needs it in memory
                decoder.setUnpremultipliedRequired(true)
                decoder.setTargetColorSpace(ColorSpace.get(ColorSpace.Named.SRGB))
            }
        } catch (error: IOException) {
            throw damaged(error.message ?: "Android's decoder refuses it", error)
        }
    }

    private fun <T> open(read: (InputStream) -> T): T =
        try {
            val stream = resolver.openInputStream(uri) ?: throw IOException("its provider gives nothing")
            stream.use(read)
        } catch (error: IOException) {
            throw ImageException("$name cannot be read (${error.message}); choose it again.", error)
        } catch (error: SecurityException) {
            throw ImageException("$name may not be read any more; choose it again.", error)
        }

    private fun damaged(reason: String, cause: Throwable? = null) =
        ImageException("$name is damaged or cut off ($reason); copy the image again or save it anew.", cause)

    private companion object {
        const val ANDROID_9 = 28
    }
}
