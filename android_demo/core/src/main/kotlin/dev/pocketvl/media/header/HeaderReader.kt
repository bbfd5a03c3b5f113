package dev.pocketvl.media.header

import java.io.EOFException
import java.io.InputStream

/** A block that is read whole, such as EXIF, is cut at so many bytes. */
internal const val LONGEST_BLOCK = 1 shl 17

/**
 * A file's bytes from the beginning on, of which only what a header needs is read.
 *
 * Nothing is allocated by a size that the file claims. Whatever goes beyond the end is an [EOFException].
 */
internal class HeaderReader(private val input: InputStream) {
    private val skipped = ByteArray(8192)

    /** Bytes read or skipped so far. */
    var position = 0L
        private set

    fun byte(): Int {
        val value = input.read()
        if (value < 0) throw EOFException("the file ends at byte $position")
        position++
        return value
    }

    fun bigShort(): Int = byte() shl 8 or byte()

    /** 0 .. 2^32 - 1. */
    fun bigInt(): Long = bigShort().toLong() shl 16 or bigShort().toLong()

    fun littleShort(): Int = byte() or (byte() shl 8)

    /** 0 .. 2^32 - 1. */
    fun littleInt(): Long = littleShort().toLong() or (littleShort().toLong() shl 16)

    /** [count] bytes, at most [LONGEST_BLOCK]. */
    fun bytes(count: Int): ByteArray {
        require(count in 0..LONGEST_BLOCK)
        val bytes = ByteArray(count)
        var got = 0
        while (got < count) {
            val more = input.read(bytes, got, count - got)
            if (more < 0) throw EOFException("the file ends at byte ${position + got}")
            got += more
        }
        position += count
        return bytes
    }

    /** The first bytes of a block of [length], whose rest is skipped. */
    fun block(length: Long): ByteArray {
        val bytes = bytes(minOf(length, LONGEST_BLOCK.toLong()).toInt())
        skip(length - bytes.size)
        return bytes
    }

    fun skip(count: Long) {
        var left = count
        while (left > 0) {
            // InputStream.skip may stop short or go beyond the end without a word; reading does not.
            val more = input.read(skipped, 0, minOf(left, skipped.size.toLong()).toInt())
            if (more < 0) throw EOFException("the file ends at byte $position")
            position += more
            left -= more
        }
    }
}

/** What a format's header says. [width] and [height] are those of the pixels as a decoder gives them. */
internal class Header(
    val width: Long,
    val height: Long,
    /** EXIF's number; null where nothing says so. */
    val orientation: Int? = null,
    /** Bytes that a decoder needs for all coefficients of a progressive JPEG; 0 for others. */
    val coefficients: Long = 0,
)

/** Whether [bytes] hold the ASCII [text] at [at]. */
internal fun startsWith(bytes: ByteArray, text: String, at: Int = 0): Boolean {
    if (at < 0 || at + text.length > bytes.size) return false
    return text.indices.all { bytes[at + it].toInt() and 255 == text[it].code }
}

/** What [read] gives; null where the file ends before. */
internal inline fun <T : Any> orEnd(read: () -> T?): T? =
    try {
        read()
    } catch (_: EOFException) {
        null
    }
