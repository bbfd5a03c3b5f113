package dev.pocketvl.media

import dev.pocketvl.ImageException

private const val VECTOR = "which is drawn rather than stored as pixels; export it as PNG"

/** Files that are taken for images, by how they begin, one byte a character: what they are, and what to do. */
private val UNREAD =
    listOf(
        Unread("EPS or PostScript", "%!PS|\\xC5\\xD0\\xD3\\xC6", VECTOR),
        Unread("PDF", "%PDF-", "a document; save its page as PNG"),
        Unread("WMF", "\\xD7\\xCD\\xC6\\x9A", VECTOR),
        Unread("EMF", "\\x01\\x00\\x00\\x00.{36} EMF", VECTOR),
        Unread("SVG", "(\\xEF\\xBB\\xBF)?\\s*<(svg|!DOCTYPE svg|(\\?xml|!--).*<svg)", VECTOR),
        Unread("HTML", "\\s*<(!DOCTYPE |!doctype )?(html|HTML)", "a web page; save the image itself"),
        Unread("JPEG XL", "\\xFF\\x0A|\\x00\\x00\\x00\\x0CJXL ", "which is not supported; save it as JPEG or PNG"),
        Unread("TIFF", "II\\*\\x00|MM\\x00\\*", "which phones do not decode; save it as JPEG or PNG"),
        Unread(
            "video",
            ".{4}ftyp(isom|iso\\d|mp4\\d|qt  |M4V )|\\x1AE\\xDF\\xA3|RIFF.{4}AVI ",
            "of many images; save one of its frames as JPEG",
        ),
    )

private class Unread(val format: String, start: String, val remedy: String) {
    val start = Regex("\\A(?:$start)", RegexOption.DOT_MATCHES_ALL)
}

/** What is wrong with a file that begins with [head] and is of no format that is read. */
internal fun unread(head: ByteArray, name: String): ImageException {
    val text = String(head, Charsets.ISO_8859_1)
    val found =
        UNREAD.firstOrNull { it.start.containsMatchIn(text) }
            ?: return ImageException(
                "$name is not an image in a format that can be read; save it as JPEG, PNG or WebP.",
            )
    return ImageException("$name is ${found.format}, ${found.remedy}.")
}
