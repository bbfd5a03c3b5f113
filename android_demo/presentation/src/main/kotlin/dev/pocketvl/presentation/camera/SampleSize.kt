package dev.pocketvl.presentation.camera

import dev.pocketvl.media.PixelSize

/**
 * BitmapFactory's inSampleSize for an image [stored] in that size of which [wanted] is needed: 1, 2, 4 ...
 *
 * 1 while the image has at most [most] pixels, so that it is decoded as the other runtimes decode it; else the
 * smallest power of two that brings it under that, as long as no side gets shorter than wanted.
 */
fun sampleSize(stored: PixelSize, wanted: PixelSize, most: Long = MOST_PIXELS): Int {
    var sample = 1
    while (
        stored.pixels / (sample.toLong() * sample) > most &&
        stored.height / (2 * sample) >= wanted.height &&
        stored.width / (2 * sample) >= wanted.width
    ) {
        sample *= 2
    }
    return sample
}

/** 2^25, of which a bitmap takes 128 MiB. */
const val MOST_PIXELS: Long = 1L shl 25
