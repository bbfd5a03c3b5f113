package dev.pocketvl.media.header

import dev.pocketvl.ImageException

private const val END = 0xD9
private const val SCAN = 0xDA
private const val APP1 = 0xE1
private const val XMP = "http://ns.adobe.com/xap/1.0/\u0000"
private const val BYTES_PER_COEFFICIENT = 2

/** Start of frame, but for the tables and extensions among those numbers. */
private fun isFrame(marker: Int): Boolean = marker in 0xC0..0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC

private fun isProgressive(marker: Int): Boolean = marker and 3 == 2

/** Markers that stand alone, without a length. */
private fun isAlone(marker: Int): Boolean = marker == 0x01 || marker in 0xD0..0xD8

/**
 * JPEG (ITU-T T.81, annex B): segments up to the first scan. EXIF lies in an APP1 segment, which may come after
 * others, and in several where it is longer than one.
 */
internal fun readJpeg(reader: HeaderReader): Header {
    reader.skip(2)
    var frame: Header? = null
    var exif: ByteArray? = null
    var xmp: ByteArray? = null
    while (true) {
        val marker = nextMarker(reader)
        if (marker == SCAN || marker == END) break
        if (isAlone(marker)) continue
        val length = reader.bigShort() - 2
        if (length < 0) throw ImageException("a segment says that it has ${length + 2} bytes")
        when {
            isFrame(marker) -> {
                frame = readFrame(marker, reader.bytes(length))
            }

            marker == APP1 -> {
                val data = reader.bytes(length)
                if (startsWith(data, "Exif\u0000\u0000")) {
                    exif = if (exif == null) data else exif + data.copyOfRange(6, data.size)
                    if (exif.size > LONGEST_BLOCK) exif = exif.copyOf(LONGEST_BLOCK)
                } else if (startsWith(data, XMP)) {
                    xmp = data
                }
            }

            else -> {
                reader.skip(length.toLong())
            }
        }
    }
    if (frame == null) throw ImageException("it has no frame header before its pixels")
    val orientation = exif?.let { exifOrientation(it) } ?: xmp?.let { xmpOrientation(it) }
    return Header(frame.width, frame.height, orientation, frame.coefficients)
}

/** Whatever lies between segments is passed over, as decoders do. */
private fun nextMarker(reader: HeaderReader): Int {
    while (true) {
        if (reader.byte() != 0xFF) continue
        var marker = reader.byte()
        while (marker == 0xFF) marker = reader.byte()
        if (marker != 0) return marker
    }
}

private fun readFrame(marker: Int, data: ByteArray): Header {
    fun byte(at: Int) = data[at].toInt() and 255
    if (data.size < 6) throw ImageException("its frame header is cut short")
    if (byte(0) != 8) throw ImageException("it has samples of ${byte(0)} bits, and decoders read those of 8")
    val height = byte(1) shl 8 or byte(2)
    val width = byte(3) shl 8 or byte(4)
    val components = byte(5)
    if (components !in intArrayOf(1, 3, 4) || data.size < 6 + 3 * components) {
        throw ImageException("it has $components components, of which its header describes ${(data.size - 6) / 3}")
    }
    var most = 1
    var sum = 0
    for (index in 0 until components) {
        val sampling = byte(7 + 3 * index)
        val area = (sampling shr 4) * (sampling and 15)
        most = maxOf(most, area)
        sum += area
    }
    val pixels = width.toDouble() * height
    val coefficients = if (isProgressive(marker)) BYTES_PER_COEFFICIENT * pixels * sum / most else 0.0
    return Header(width.toLong(), height.toLong(), null, coefficients.toLong())
}
