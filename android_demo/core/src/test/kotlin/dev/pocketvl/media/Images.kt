package dev.pocketvl.media

import dev.pocketvl.bundle.ImageSettings

val MEAN = listOf(0.48145466, 0.4578275, 0.40821073)
val STD = listOf(0.26862954, 0.26130258, 0.27577711)

fun imageSettings(minPixels: Int = 3136, maxPixels: Int = 12845056) = ImageSettings(minPixels, maxPixels, MEAN, STD)

/** By the formula that the golden files state. */
fun painted(width: Int, height: Int, frame: Int = 0): RgbImage {
    val pixels = ByteArray(3 * width * height)
    var at = 0
    for (y in 0 until height) {
        for (x in 0 until width) {
            for (c in 0 until 3) pixels[at++] = (x * x + 7 * x * y + 13 * y + 29 * c + 50 * frame).toByte()
        }
    }
    return RgbImage(width, height, pixels)
}

/** One level in all channels. */
fun plain(width: Int, height: Int, level: Int) =
    RgbImage(width, height, ByteArray(3 * width * height) { level.toByte() })
