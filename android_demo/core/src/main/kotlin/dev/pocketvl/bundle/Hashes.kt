package dev.pocketvl.bundle

import java.security.MessageDigest

internal fun sha256(): MessageDigest = MessageDigest.getInstance("SHA-256")

/** Lowercase hexadecimal digits. */
internal fun hex(bytes: ByteArray): String {
    val digits = CharArray(bytes.size * 2)
    for (index in bytes.indices) {
        digits[2 * index] = Character.forDigit(bytes[index].toInt() shr 4 and 0xF, 16)
        digits[2 * index + 1] = Character.forDigit(bytes[index].toInt() and 0xF, 16)
    }
    return String(digits)
}
