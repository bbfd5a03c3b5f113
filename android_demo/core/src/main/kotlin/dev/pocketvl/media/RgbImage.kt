package dev.pocketvl.media

import java.security.MessageDigest

/** Height and width in pixels. */
data class PixelSize(val height: Int, val width: Int) {
    /** Their product. */
    val pixels: Long get() = height.toLong() * width

    override fun toString(): String = "${width}x$height"
}

/**
 * Upright sRGB pixels of 8 bits, without transparency: `pixels[3 * (y * width + x)]` is red, green and blue follow.
 *
 * [pixels] is not copied; whoever gives an image leaves it alone until it has been encoded. Throws
 * [IllegalArgumentException] where the number of bytes is not 3 * width * height.
 */
class RgbImage(val width: Int, val height: Int, val pixels: ByteArray) : ImageSource {
    override val name: String get() = "the given image"

    init {
        require(width > 0 && height > 0 && pixels.size.toLong() == 3L * width * height) {
            "${pixels.size} bytes are not $width x $height pixels of 3 bytes"
        }
    }

    override fun size(): PixelSize = PixelSize(height, width)

    /** This image. */
    override fun read(height: Int, width: Int): RgbImage = this
}

/** sha256 in hex over size and pixels: equal keys, equal images, in every language. */
fun contentKey(image: RgbImage): String {
    val digest = MessageDigest.getInstance("SHA-256")
    digest.update("RGB ${image.width} ${image.height} ".toByteArray())
    digest.update(image.pixels)
    return hex(digest.digest())
}

private const val DIGITS = "0123456789abcdef"

internal fun hex(bytes: ByteArray): String {
    val text = CharArray(2 * bytes.size)
    for (index in bytes.indices) {
        text[2 * index] = DIGITS[bytes[index].toInt() ushr 4 and 15]
        text[2 * index + 1] = DIGITS[bytes[index].toInt() and 15]
    }
    return String(text)
}
