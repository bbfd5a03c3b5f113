package dev.pocketvl.media

import dev.pocketvl.ImageException
import dev.pocketvl.PocketVLException
import java.util.concurrent.CancellationException

/**
 * An image that a message may show: [RgbImage], [EncodedImage], or the app's own, over the platform's decoder.
 *
 * What a decoder must deliver, so that an answer is the same as in Python:
 * - colours converted to sRGB are best, though Python takes RGB samples as they are stored; CMYK converted to RGB;
 * - 8 bits: of 16-bit colour the upper byte; grey of 16 bits by the depth that its samples use (see [usedDepth]);
 * - upright: turned by its EXIF orientation, see [readImageHeader] and [Orientation];
 * - transparency on white: from ARGB by [argbToRgb], of pixels whose colours are not premultiplied by alpha;
 * - of an animation the first frame;
 * - whole up to 2^25 pixels; larger ones sampled down while they are decoded, see [ImageHeader].
 *
 * [size] and [read] are called from whichever thread encodes, [size] first. They may block.
 */
interface ImageSource {
    /** For messages: a file's name, "the photo". */
    val name: String

    /** Sentences about what was not read by the letter, complete after [read]. */
    val notes: List<String> get() = emptyList()

    /** Of the upright image, before anything is sampled down; only a header is read. Throws [ImageException]. */
    fun size(): PixelSize

    /**
     * The upright image. It may have been sampled down while it was decoded, but to no side shorter than [height]
     * and [width], the size in which it will be encoded: the pipeline resizes what has another size.
     *
     * Throws [ImageException]; whatever else is thrown becomes one that names the image.
     */
    fun read(height: Int, width: Int): RgbImage
}

/** Whatever a decoder throws becomes an [ImageException] that names the image. */
internal inline fun <T> damageNamed(name: String, read: () -> T): T =
    try {
        read()
    } catch (error: PocketVLException) {
        throw error
    } catch (error: CancellationException) {
        throw error
    } catch (error: OutOfMemoryError) {
        throw ImageException("$name does not fit into memory; scale it down first.", error)
    } catch (error: Exception) {
        val reason = error.message ?: error.javaClass.simpleName
        throw ImageException("$name is damaged or cut off ($reason); copy the image again or save it anew.", error)
    }
