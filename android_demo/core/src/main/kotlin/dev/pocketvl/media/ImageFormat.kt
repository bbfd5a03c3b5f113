package dev.pocketvl.media

import dev.pocketvl.ImageException
import dev.pocketvl.media.header.Header
import dev.pocketvl.media.header.HeaderReader
import dev.pocketvl.media.header.brandsOf
import dev.pocketvl.media.header.readBmp
import dev.pocketvl.media.header.readGif
import dev.pocketvl.media.header.readHeif
import dev.pocketvl.media.header.readJpeg
import dev.pocketvl.media.header.readPng
import dev.pocketvl.media.header.readWebp
import dev.pocketvl.media.header.startsWith
import java.io.BufferedInputStream
import java.io.ByteArrayInputStream
import java.io.EOFException
import java.io.File
import java.io.FileInputStream
import java.io.IOException
import java.io.InputStream
import java.io.SequenceInputStream

/** Images of up to so many pixels are decoded whole, larger ones sampled down while they are decoded. */
const val WHOLE_PIXELS = 1 shl 25

private const val HEAD = 1024

/** A progressive JPEG is decoded from all its coefficients at once; with them 0.7 GB. */
private const val MOST_COEFFICIENTS = 600_000_000L

/** Of an image, read into memory whole. */
private const val MOST_BYTES = 512L shl 20

/** Formats whose headers are read, and the most pixels of each. */
enum class ImageFormat(internal val label: String, internal val mostPixels: Long) {
    /** Decoded at a fraction of its size. */
    JPEG("JPEG", 1L shl 28),
    PNG("PNG", 89_478_485),
    WEBP("WEBP", 1L shl 25),
    GIF("GIF", 89_478_485),
    BMP("BMP", 89_478_485),

    /** Photos of iPhones and of some Android phones. */
    HEIF("HEIC", 3L shl 24),
    AVIF("AVIF", 3L shl 24),
}

/** What an encoded image says before it is decoded. Its sides and their product are within the limits. */
data class ImageHeader(
    val format: ImageFormat,
    /** As a decoder gives the pixels, before [orientation] turns them. */
    val stored: PixelSize,
    /**
     * What EXIF wants done to the pixels, if the decoder does not (BitmapFactory does not, ImageDecoder does).
     * [Orientation.UPRIGHT] for HEIF and AVIF, which every decoder turns.
     */
    val orientation: Orientation,
    /** Whether a decoder holds all of it at once, whatever size is wanted: a progressive JPEG. */
    val progressive: Boolean = false,
) {
    /** The size that a message's image has: an [ImageSource]'s. */
    val upright: PixelSize get() = orientation.turned(stored)

    /**
     * By how much each side is to be divided while the image is decoded (BitmapFactory's inSampleSize): 1 up to
     * 2^25 pixels; else the least power of two that leaves fewer (of a progressive JPEG a quarter as many), but no
     * side shorter than [wanted], which is upright.
     */
    fun sampling(wanted: PixelSize): Int {
        val most = if (progressive && stored.pixels > WHOLE_PIXELS) WHOLE_PIXELS / 4 else WHOLE_PIXELS
        val least = orientation.turned(wanted)
        var chosen = 1
        while (stored.pixels > most.toLong() * chosen * chosen) {
            val next = 2 * chosen
            if (stored.height / next < least.height || stored.width / next < least.width) break
            chosen = next
        }
        return chosen
    }
}

/** [readImageHeader] of a file. */
fun readImageHeader(file: File, name: String = file.name): ImageHeader {
    if (file.length() > MOST_BYTES) {
        throw ImageException("$name has more bytes than the limit of $MOST_BYTES; give a smaller image.")
    }
    val input =
        try {
            FileInputStream(file)
        } catch (error: IOException) {
            throw ImageException("$name cannot be read (${error.message}); check the path.", error)
        }
    return input.use { readImageHeader(it, name) }
}

/** [readImageHeader] of an encoded image in memory. */
fun readImageHeader(data: ByteArray, name: String = "the given data"): ImageHeader =
    readImageHeader(ByteArrayInputStream(data), name)

/**
 * Format, size and orientation of an encoded image, and whether it is within the limits: to be called before a
 * platform's decoder sees it, so that nothing decodes to more memory than a phone has.
 *
 * Reads [input] from the beginning as far as needed, of PNG and WebP to the end, and does not close it. [name]: for
 * messages. Throws [ImageException].
 */
fun readImageHeader(input: InputStream, name: String): ImageHeader {
    val header: Header
    val format: ImageFormat
    try {
        val buffered = BufferedInputStream(input)
        val head = readHead(buffered)
        if (head.isEmpty()) throw ImageException("$name is empty (0 bytes); copy or download the image again.")
        format = formatOf(head) ?: throw unread(head, name)
        header =
            named(name) {
                parse(format, HeaderReader(SequenceInputStream(ByteArrayInputStream(head), buffered)))
            }
    } catch (error: IOException) {
        throw ImageException("$name cannot be read (${error.message}); copy the image again or save it anew.", error)
    }
    return checked(header, format, name)
}

private fun readHead(input: InputStream): ByteArray {
    val head = ByteArray(HEAD)
    var got = 0
    while (got < HEAD) {
        val more = input.read(head, got, HEAD - got)
        if (more < 0) break
        got += more
    }
    return head.copyOf(got)
}

private fun formatOf(head: ByteArray): ImageFormat? {
    val brands = brandsOf(head)
    return when {
        startsWith(head, "\u00FF\u00D8\u00FF") -> ImageFormat.JPEG
        startsWith(head, "\u0089PNG\r\n\u001A\n") -> ImageFormat.PNG
        startsWith(head, "RIFF") && startsWith(head, "WEBP", 8) -> ImageFormat.WEBP
        startsWith(head, "GIF87a") || startsWith(head, "GIF89a") -> ImageFormat.GIF
        startsWith(head, "BM") -> ImageFormat.BMP
        "avif" in brands -> ImageFormat.AVIF
        brands.any { it in HEIF_BRANDS } -> ImageFormat.HEIF
        else -> null
    }
}

private val HEIF_BRANDS = setOf("heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1")

private fun parse(format: ImageFormat, reader: HeaderReader): Header =
    when (format) {
        ImageFormat.JPEG -> readJpeg(reader)
        ImageFormat.PNG -> readPng(reader)
        ImageFormat.WEBP -> readWebp(reader)
        ImageFormat.GIF -> readGif(reader)
        ImageFormat.BMP -> readBmp(reader)
        ImageFormat.HEIF, ImageFormat.AVIF -> readHeif(reader)
    }

private inline fun named(name: String, read: () -> Header): Header =
    try {
        read()
    } catch (error: ImageException) {
        throw damaged(name, error.message, error)
    } catch (error: EOFException) {
        throw damaged(name, error.message, error)
    }

private fun damaged(name: String, reason: String?, cause: Exception) =
    ImageException("$name is damaged or cut off ($reason); copy the image again or save it anew.", cause)

private fun checked(header: Header, format: ImageFormat, name: String): ImageHeader {
    val largest = Int.MAX_VALUE.toLong()
    if (header.width > largest || header.height > largest) {
        throw ImageException(
            "$name has ${header.width}x${header.height} pixels (the limit for ${format.label} is" +
                " ${format.mostPixels}); scale it down first.",
        )
    }
    val stored = PixelSize(header.height.toInt(), header.width.toInt())
    checkPixels(stored, name, format.label, format.mostPixels)
    if (header.coefficients > MOST_COEFFICIENTS) {
        throw ImageException(
            "$name is a progressive JPEG of $stored pixels, which takes ${header.coefficients} bytes of memory to" +
                " decode (the limit is $MOST_COEFFICIENTS); scale it down or save it as baseline JPEG.",
        )
    }
    val orientation = header.orientation?.let { Orientation.of(it) } ?: Orientation.UPRIGHT
    return ImageHeader(format, stored, orientation, header.coefficients > 0)
}

/** Throws [ImageException] for an image without pixels or with more than [most]. */
internal fun checkPixels(size: PixelSize, name: String, format: String, most: Long) {
    if (size.width < 1 || size.height < 1) {
        throw ImageException("$name is $size pixels; give an image with pixels in it.")
    }
    if (size.pixels > most) {
        throw ImageException("$name has $size pixels (the limit for $format is $most); scale it down first.")
    }
}
