package dev.pocketvl.media.header

import dev.pocketvl.ImageException
import kotlin.math.abs

private const val FILE_HEADER = 14L
private const val OLDEST_INFO = 12L
private const val LEAST_INFO = 16L
private const val LARGEST_INFO = 124L

private const val EXTENSION = 0x21
private const val DESCRIPTOR = 0x2C
private const val HAS_COLOURS = 0x80

/** BMP: BITMAPCOREHEADER or BITMAPINFOHEADER and its successors. A negative height is that of rows from the top. */
internal fun readBmp(reader: HeaderReader): Header {
    reader.skip(FILE_HEADER)
    val size = reader.littleInt()
    if (size == OLDEST_INFO) return Header(reader.littleShort().toLong(), reader.littleShort().toLong())
    if (size !in LEAST_INFO..LARGEST_INFO) throw ImageException("its header has $size bytes")
    val width = reader.littleInt().toInt().toLong()
    val height = reader.littleInt().toInt().toLong()
    return Header(width, abs(height))
}

/**
 * GIF (version 89a): the logical screen, or what the first image needs where it is larger, as decoders show it.
 */
internal fun readGif(reader: HeaderReader): Header {
    reader.skip(6)
    val width = reader.littleShort()
    val height = reader.littleShort()
    skipColours(reader, reader.byte(), 2)
    while (true) {
        when (val block = reader.byte()) {
            EXTENSION -> {
                reader.skip(1)
                skipBlocks(reader)
            }

            DESCRIPTOR -> {
                val left = reader.littleShort()
                val top = reader.littleShort()
                val right = left + reader.littleShort()
                val bottom = top + reader.littleShort()
                return Header(maxOf(width, right).toLong(), maxOf(height, bottom).toLong())
            }

            else -> {
                throw ImageException("it has a block of kind $block before its first image")
            }
        }
    }
}

/** A colour table, if [flags] say that there is one, after [between] other bytes. */
private fun skipColours(reader: HeaderReader, flags: Int, between: Long) {
    reader.skip(between)
    if (flags and HAS_COLOURS != 0) reader.skip(3L shl (flags and 7) + 1)
}

private fun skipBlocks(reader: HeaderReader) {
    while (true) {
        val length = reader.byte()
        if (length == 0) return
        reader.skip(length.toLong())
    }
}
