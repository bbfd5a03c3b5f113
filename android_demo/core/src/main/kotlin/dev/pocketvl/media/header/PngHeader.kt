package dev.pocketvl.media.header

import dev.pocketvl.ImageException

private const val SIGNATURE = 8L
private const val IHDR = 0x49484452L
private const val IEND = 0x49454E44L
private const val EXIF = 0x65584966L
private const val TEXT = 0x69545874L
private const val CHECKSUM = 4L
private const val LONGEST_CHUNK = 0x7FFFFFFFL
private const val XMP = "XML:com.adobe.xmp\u0000"

/**
 * PNG (ISO/IEC 15948): the image header, and the eXIf chunk, which may come after the pixels. Chunks beyond the end
 * of a file that is cut off say nothing.
 */
internal fun readPng(reader: HeaderReader): Header {
    reader.skip(SIGNATURE)
    val length = reader.bigInt()
    if (reader.bigInt() != IHDR || length != 13L) throw ImageException("it does not begin with an image header")
    val width = reader.bigInt()
    val height = reader.bigInt()
    if (width > LONGEST_CHUNK || height > LONGEST_CHUNK) throw ImageException("its sides are $width and $height")
    reader.skip(5 + CHECKSUM)
    return Header(width, height, orEnd { pngOrientation(reader) })
}

private fun pngOrientation(reader: HeaderReader): Int? {
    var inXmp: Int? = null
    while (true) {
        val length = orEnd { reader.bigInt() } ?: return inXmp
        val type = orEnd { reader.bigInt() } ?: return inXmp
        if (type == IEND || length > LONGEST_CHUNK) return inXmp
        if (type == EXIF) return orEnd { exifOrientation(reader.block(length)) } ?: inXmp
        if (type == TEXT) {
            val text = orEnd { reader.block(length) } ?: return inXmp
            if (startsWith(text, XMP)) inXmp = xmpOrientation(text)
        } else {
            orEnd { reader.skip(length) } ?: return inXmp
        }
        orEnd { reader.skip(CHECKSUM) } ?: return inXmp
    }
}
