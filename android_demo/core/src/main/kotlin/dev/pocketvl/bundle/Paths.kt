package dev.pocketvl.bundle

/** Throws IllegalArgumentException for a path that is not one of a file inside the bundle. */
internal fun checkRelative(path: String) {
    val staysInside = path.isNotEmpty() && path[0] != '/' && '\\' !in path && ".." !in path.split('/')
    require(staysInside) { "the file path ${shortened(path)} must stay inside the bundle" }
    require(isPrintable(path)) { "the file path ${shortened(path)} holds characters that cannot be printed" }
}

/** By code points, not by UTF-16 units: the order of the bytes in UTF-8. */
internal fun comparePaths(one: String, other: String): Int {
    val shared = minOf(one.length, other.length)
    val at = (0 until shared).firstOrNull { one[it] != other[it] } ?: return one.length - other.length
    val isPair = one[at].isSurrogate() || other[at].isSurrogate()
    if (!isPair) return one[at] - other[at]
    return one.codePointAt(at) - other.codePointAt(at)
}

/** None of the Unicode categories "other" and "separator", except for the space. */
private fun isPrintable(text: String): Boolean {
    var at = 0
    while (at < text.length) {
        val code = text.codePointAt(at)
        val isOdd =
            when (Character.getType(code).toByte()) {
                Character.CONTROL, Character.FORMAT, Character.SURROGATE, Character.PRIVATE_USE, Character.UNASSIGNED,
                Character.LINE_SEPARATOR, Character.PARAGRAPH_SEPARATOR,
                -> true

                Character.SPACE_SEPARATOR -> code != ' '.code

                else -> false
            }
        if (isOdd) return false
        at += Character.charCount(code)
    }
    return true
}
