package dev.pocketvl.media.header

import dev.pocketvl.ImageException

/** Bytes of the description of all images, which is read whole; a photo of 48 tiles has a few thousand. */
private const val LONGEST_META = LONGEST_BLOCK

/** Major and compatible brands of a file that begins with [head]; empty where it is none of that family. */
internal fun brandsOf(head: ByteArray): Set<String> {
    if (!startsWith(head, "ftyp", 4)) return emptySet()
    val size = Box(head, 0, head.size).int(0)
    val end = minOf(size, head.size.toLong()).toInt()
    val starts = listOf(8) + (16..end - 4 step 4)
    return starts.filter { it + 4 <= head.size }.map { String(head, it, 4, Charsets.ISO_8859_1) }.toSet()
}

/**
 * HEIF and AVIF (ISO/IEC 23008-12): the primary item's size, turned as its irot property says, which is how decoders
 * give it. EXIF says nothing here: the format lets decoders ignore it.
 */
internal fun readHeif(reader: HeaderReader): Header {
    while (true) {
        var length = reader.bigInt()
        val type = String(reader.bytes(4), Charsets.ISO_8859_1)
        var header = 8L
        if (length == 1L) {
            length = reader.bigInt() shl 32 or reader.bigInt()
            header += 8
        }
        if (length < header) throw ImageException("a box of it says that it has $length bytes")
        if (type != "meta") {
            reader.skip(length - header)
            continue
        }
        if (length - header > LONGEST_META) throw ImageException("its description has ${length - header} bytes")
        val meta = reader.bytes((length - header).toInt())
        return readMeta(Box(meta, 4, meta.size))
    }
}

private fun readMeta(meta: Box): Header {
    val primary = meta.child("pitm") ?: throw ImageException("it names no primary image")
    val item = if (primary.byte(0) == 0) primary.short(4).toLong() else primary.int(4)
    val properties = meta.child("iprp") ?: throw ImageException("it says nothing about its images")
    val all = properties.child("ipco")?.children() ?: emptyList()
    val own = properties.children().filter { it.type == "ipma" }.flatMap { associations(it, item) }
    var width = 0L
    var height = 0L
    for (property in own.mapNotNull { all.getOrNull(it - 1) }) {
        if (property.type == "ispe" && width == 0L) {
            width = property.int(4)
            height = property.int(8)
        } else if (property.type == "irot" && property.byte(0) and 1 == 1) {
            width = height.also { height = width }
        }
    }
    return Header(width, height)
}

/** The numbers, from 1, of the properties of one item, in the order in which they apply. */
private fun associations(box: Box, wanted: Long): List<Int> {
    val longItems = box.byte(0) > 0
    val longNumbers = box.byte(3) and 1 == 1
    var at = 8
    repeat(minOf(box.int(4), LONGEST_META.toLong()).toInt()) {
        val item = if (longItems) box.int(at) else box.short(at).toLong()
        at += if (longItems) 4 else 2
        val count = box.byte(at++)
        val size = if (longNumbers) 2 else 1
        if (item == wanted) {
            return List(count) { if (longNumbers) box.short(at + 2 * it) and 0x7FFF else box.byte(at + it) and 0x7F }
        }
        at += count * size
    }
    return emptyList()
}

/** The contents of a box: bytes [start] until [end] of [data]. What lies beyond is an [ImageException]. */
private class Box(private val data: ByteArray, private val start: Int, private val end: Int, val type: String = "") {
    fun byte(at: Int): Int {
        if (at < 0 || start + at >= end) throw ImageException("a box of it is cut short")
        return data[start + at].toInt() and 255
    }

    fun short(at: Int): Int = byte(at) shl 8 or byte(at + 1)

    fun int(at: Int): Long = short(at).toLong() shl 16 or short(at + 2).toLong()

    fun child(type: String): Box? = children().firstOrNull { it.type == type }

    fun children(): List<Box> {
        val boxes = ArrayList<Box>()
        var at = 0
        while (start + at + 8 <= end) {
            val size = int(at)
            val last = if (size == 0L) end.toLong() else start + at + size
            if ((size in 1..7) || last > end) throw ImageException("a box of it is longer than what holds it")
            val name = String(data, start + at + 4, 4, Charsets.ISO_8859_1)
            boxes += Box(data, start + at + 8, last.toInt(), name)
            at = (last - start).toInt()
        }
        return boxes
    }
}
