package dev.pocketvl.decoding

import dev.pocketvl.Matrix
import dev.pocketvl.PromptException
import dev.pocketvl.bundle.SpecialTokens
import dev.pocketvl.mropePositions

/** Patches along the temporal axis, rows and columns. */
data class Grid(val t: Int, val h: Int, val w: Int)

/**
 * An image, or a clip of several temporal slices, as the decoder sees it.
 *
 * [key] is equal for equal pixels only; images of one size have the same placeholder tokens, so nothing else tells
 * their KV slots apart. [embeddings]: (t * h * w / merge^2, hiddenSize); no rows where only positions are wanted.
 */
class Media(val grid: Grid, val key: String, val embeddings: Matrix)

/**
 * S tokens in the order of their KV slots; a value, whose arrays nobody changes.
 *
 * [tokenIds] and [mediaKeys] have S entries; a slot's key is that of the image it belongs to, null for text.
 * [positions]: M-RoPE ids, three arrays (t, h, w) of S. [media]: the images and clips, in the order of their slots.
 */
class Feed(
    val tokenIds: IntArray,
    val mediaKeys: Array<String?>,
    val positions: Array<IntArray>,
    val media: List<Media> = emptyList(),
) {
    init {
        require(mediaKeys.size == size && positions.size == 3 && positions.all { it.size == size }) {
            "a feed of $size tokens, ${mediaKeys.size} keys and positions of ${positions.map { it.size }}"
        }
    }

    val size: Int get() = tokenIds.size

    /** Rope position of the token that follows: the largest so far plus one, not the number of tokens. */
    val nextPosition: Int get() = if (size == 0) 0 else positions.maxOf { it.max() } + 1

    /** Both, one after the other. */
    fun then(following: Feed): Feed =
        Feed(
            tokenIds + following.tokenIds,
            mediaKeys + following.mediaKeys,
            Array(3) { positions[it] + following.positions[it] },
            media + following.media,
        )

    /** The first [length] slots, all where there are fewer; must not end inside an image. */
    fun first(length: Int): Feed {
        val end = minOf(length, size)
        var rows = mediaSlots(0, end)
        val kept = media.takeWhile { one -> (rows > 0).also { rows -= one.embeddings.rows } }
        return Feed(
            tokenIds.copyOf(end),
            mediaKeys.copyOfRange(0, end),
            Array(3) { positions[it].copyOf(end) },
            kept,
        )
    }

    /** Whether the slot takes a row of an image's embeddings instead of its token's. */
    fun isMedia(slot: Int): Boolean = mediaKeys[slot] != null

    /** Throws [PromptException] where embeddings and placeholders do not match, in number or width. */
    fun checkMedia(hiddenSize: Int) {
        val given = media.sumOf { it.embeddings.rows }
        val wanted = mediaSlots(0, size)
        if (given != wanted) {
            throw PromptException(
                "The prompt has $wanted image placeholders for $given image embeddings; build it with buildFeed.",
            )
        }
        val odd = media.firstOrNull { it.embeddings.rows > 0 && it.embeddings.columns != hiddenSize } ?: return
        throw PromptException(
            "An image has embeddings of ${odd.embeddings.columns} numbers, but the decoder takes $hiddenSize; encode" +
                " it with the vision encoder of the same bundle.",
        )
    }

    /**
     * Writes the embeddings of the image slots from [from] until [until] over their rows of [into], whose row 0 is
     * slot [from]; other rows stay. After [checkMedia].
     */
    fun mediaEmbeddings(from: Int, until: Int, into: Matrix) {
        var index = 0
        var row = mediaSlots(0, from)
        for (slot in from until until) {
            if (!isMedia(slot)) continue
            while (row >= media[index].embeddings.rows) row -= media[index++].embeddings.rows
            val source = media[index].embeddings
            source.values.copyInto(
                into.values,
                (slot - from) * into.columns,
                row * source.columns,
                (row + 1) * source.columns,
            )
            row++
        }
    }

    private fun mediaSlots(from: Int, until: Int): Int {
        var count = 0
        for (slot in from until until) if (isMedia(slot)) count++
        return count
    }

    companion object {
        /** Of no tokens. */
        val EMPTY = Feed(IntArray(0), emptyArray(), Array(3) { IntArray(0) })
    }
}

/**
 * A rendered prompt whose placeholders stand for [media], in order, at rope positions from [start] on.
 *
 * [merge]: the vision encoder's spatialMergeSize. Throws [PromptException] where placeholders and media do not match.
 */
fun buildFeed(tokenIds: IntArray, media: List<Media>, special: SpecialTokens, merge: Int, start: Int = 0): Feed {
    val positions = mropePositions(tokenIds, media.map { it.grid }, special, merge, start).ids
    val keys = arrayOfNulls<String>(tokenIds.size)
    val remaining = media.iterator()
    var slot = 0
    while (slot < tokenIds.size) {
        if (tokenIds[slot] != special.imagePad && tokenIds[slot] != special.videoPad) {
            slot++
            continue
        }
        val one = remaining.next()
        val end = slot + one.grid.t * one.grid.h * one.grid.w / (merge * merge)
        keys.fill(one.key, slot, end)
        slot = end
    }
    return Feed(tokenIds, keys, positions, media.toList())
}

/**
 * Plain tokens at rope positions from [start] on.
 *
 * For what a model generated: it may well generate a placeholder's id, which is then a token like any other.
 */
fun textFeed(tokenIds: IntArray, start: Int): Feed {
    val axis = IntArray(tokenIds.size) { start + it }
    return Feed(tokenIds, arrayOfNulls(tokenIds.size), arrayOf(axis, axis, axis))
}
