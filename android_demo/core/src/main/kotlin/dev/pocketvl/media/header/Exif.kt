package dev.pocketvl.media.header

private const val ORIENTATION = 0x0112
private const val SHORT = 3
private const val LONG = 4
private const val ENTRY = 12
private const val PREFIX = "Exif\u0000\u0000"
private val IN_XMP = Regex("""tiff:Orientation(?:="|>)([0-9])""")

/**
 * The orientation that EXIF data says, as EXIF's number; null where it says none, or is damaged: that says nothing
 * about the pixels. TIFF 6.0, of either byte order, with or without the "Exif" before it.
 */
internal fun exifOrientation(data: ByteArray): Int? {
    var start = 0
    while (startsWith(data, PREFIX, start) && start <= PREFIX.length) start += PREFIX.length
    val tiff =
        when {
            startsWith(data, "II*\u0000", start) -> Tiff(data, start, little = true)
            startsWith(data, "MM\u0000*", start) -> Tiff(data, start, little = false)
            else -> return null
        }
    val directory = tiff.int(4)
    val count = tiff.short(directory)
    for (index in 0 until count) {
        val entry = directory + 2 + ENTRY.toLong() * index
        if (tiff.short(entry) != ORIENTATION) continue
        val value =
            when (tiff.short(entry + 2)) {
                SHORT -> tiff.short(entry + 8).toLong()
                LONG -> tiff.int(entry + 8)
                else -> return null
            }
        return if (tiff.int(entry + 4) == 1L && value in 1..8) value.toInt() else null
    }
    return null
}

/** The orientation in an XMP packet, which some editors write alone; null where there is none. */
internal fun xmpOrientation(packet: ByteArray): Int? =
    IN_XMP
        .find(String(packet, Charsets.ISO_8859_1))
        ?.groupValues
        ?.get(1)
        ?.toInt()
        ?.takeIf { it in 1..8 }

/** Numbers of a TIFF structure that begins at [start]; what lies beyond its end reads as -1. */
private class Tiff(private val data: ByteArray, private val start: Int, private val little: Boolean) {
    fun short(offset: Long): Int {
        val at = start + offset
        if (offset < 0 || at + 2 > data.size) return -1
        val first = data[at.toInt()].toInt() and 255
        val second = data[at.toInt() + 1].toInt() and 255
        return if (little) second shl 8 or first else first shl 8 or second
    }

    fun int(offset: Long): Long {
        val first = short(offset)
        val second = short(offset + 2)
        if (first < 0 || second < 0) return -1
        return if (little) second.toLong() shl 16 or first.toLong() else first.toLong() shl 16 or second.toLong()
    }
}
