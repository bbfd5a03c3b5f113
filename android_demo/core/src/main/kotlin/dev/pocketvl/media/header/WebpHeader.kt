package dev.pocketvl.media.header

import dev.pocketvl.ImageException

private const val LOSSY_START = 0x2A019DL
private const val LOSSLESS_START = 0x2F
private const val SIDE_BITS = 14
private const val SIDE = (1 shl SIDE_BITS) - 1

/**
 * WebP (RFC 9649): the canvas of an extended file, or the one bit stream's sides; EXIF in its chunk, after the
 * pixels.
 */
internal fun readWebp(reader: HeaderReader): Header {
    reader.skip(12)
    val type = String(reader.bytes(4), Charsets.ISO_8859_1)
    val length = reader.littleInt()
    return when (type) {
        "VP8X" -> {
            if (length < 10) throw ImageException("its header has $length bytes")
            reader.skip(4)
            val width = 1L + reader.littleShort() + (reader.byte() shl 16)
            val height = 1L + reader.littleShort() + (reader.byte() shl 16)
            Header(width, height, orEnd { webpOrientation(reader, length - 10 + (length and 1)) })
        }

        "VP8 " -> {
            readLossy(reader)
        }

        "VP8L" -> {
            readLossless(reader)
        }

        else -> {
            throw ImageException("it begins with something else than an image")
        }
    }
}

private fun readLossy(reader: HeaderReader): Header {
    if (reader.byte() and 1 != 0) throw ImageException("it begins with a frame that needs one before it")
    reader.skip(2)
    val start = reader.littleShort().toLong() or (reader.byte().toLong() shl 16)
    if (start != LOSSY_START) throw ImageException("its bit stream has no start code")
    return Header((reader.littleShort() and SIDE).toLong(), (reader.littleShort() and SIDE).toLong())
}

private fun readLossless(reader: HeaderReader): Header {
    if (reader.byte() != LOSSLESS_START) throw ImageException("its bit stream has no signature")
    val sides = reader.littleInt()
    return Header(1 + (sides and SIDE.toLong()), 1 + (sides shr SIDE_BITS and SIDE.toLong()))
}

/** Of the chunks after the extended header, of which [rest] bytes are left. */
private fun webpOrientation(reader: HeaderReader, rest: Long): Int? {
    reader.skip(rest)
    var inXmp: Int? = null
    while (true) {
        val type = orEnd { String(reader.bytes(4), Charsets.ISO_8859_1) } ?: return inXmp
        val length = orEnd { reader.littleInt() } ?: return inXmp
        when (type) {
            "EXIF" -> orEnd { exifOrientation(reader.block(length)) }?.let { return it }
            "XMP " -> inXmp = orEnd { xmpOrientation(reader.block(length)) } ?: inXmp
            else -> orEnd { reader.skip(length) } ?: return inXmp
        }
        orEnd { reader.skip(length and 1) } ?: return inXmp
    }
}
