package dev.pocketvl

import java.io.InputStream

/** The first [most] bytes, or all where there are fewer: no more, even if the file has grown since it was looked at. */
internal fun InputStream.readAtMost(most: Int): ByteArray {
    val bytes = ByteArray(most)
    var size = 0
    while (size < most) {
        val count = read(bytes, size, most - size)
        if (count < 0) break
        size += count
    }
    return if (size == most) bytes else bytes.copyOf(size)
}
