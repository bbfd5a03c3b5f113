package dev.pocketvl.decoding

private const val MAX_BLOCK = 64 // tokens
private const val MIN_REPEATS = 8
private const val MIN_TOKENS = 128

/**
 * Whether the tokens end in one block of 1..64 tokens again and again, without any difference.
 *
 * That is at least 8 times and over at least 128 tokens: a list counts or names different things, rows of a table
 * differ, and lines of dots or empty cells end before. Called for each new token it takes a comparison for each
 * length of block, and more only where the answer does repeat itself.
 */
fun repeats(tokens: TokenList): Boolean {
    val end = tokens.size
    if (end < MIN_TOKENS) return false
    val last = tokens[end - 1]
    for (block in 1..MAX_BLOCK) {
        if (tokens[end - 1 - block] == last && repeats(tokens, block)) return true
    }
    return false
}

private fun repeats(tokens: TokenList, block: Int): Boolean {
    val span = maxOf(MIN_TOKENS, MIN_REPEATS * block)
    val end = tokens.size
    if (end < span) return false
    for (index in end - 1 downTo end - span + block) {
        if (tokens[index] != tokens[index - block]) return false
    }
    return true
}
