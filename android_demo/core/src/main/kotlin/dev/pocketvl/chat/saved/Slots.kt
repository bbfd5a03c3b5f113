package dev.pocketvl.chat.saved

import dev.pocketvl.CacheTensor
import dev.pocketvl.Matrix
import dev.pocketvl.PromptException
import dev.pocketvl.bundle.Manifest
import dev.pocketvl.decoding.Feed
import dev.pocketvl.decoding.Grid
import dev.pocketvl.decoding.Media
import dev.pocketvl.mropePositions
import java.nio.ByteBuffer
import java.nio.ByteOrder

// The slots of a saved conversation as tensors, believed only where they fit together.
//
//     token_ids       I64 (S,)   of all slots
//     media           I64 (S,)   the number of the image or clip that a slot belongs to, -1 for text
//     positions       I64 (3, S) rope positions t, h, w
//     embeddings.N    F32 (rows, hidden_size) of the N-th different image

/** An image or a clip: patches along t, h, w. */
internal class StoredImage(val key: String, val grid: List<Int>)

/** [images]: each different one. [media]: numbers of images, in the order of their slots. */
internal class StoredSlots(val images: List<StoredImage>, val media: List<Int>, val tensors: Map<String, CacheTensor>)

/** What [feedOf] takes. */
internal fun storedSlots(feed: Feed): StoredSlots {
    val unique = LinkedHashMap<String, Media>()
    for (media in feed.media) unique[media.key] = media
    val numbers = unique.keys.withIndex().associate { (number, key) -> key to number }
    val tensors = LinkedHashMap<String, CacheTensor>()
    tensors["token_ids"] = tensorOf(listOf(feed.size), feed.tokenIds)
    tensors["media"] = tensorOf(listOf(feed.size), mediaNumbers(feed))
    tensors["positions"] = tensorOf(listOf(3, feed.size), feed.positions[0] + feed.positions[1] + feed.positions[2])
    for ((key, media) in unique) tensors["embeddings.${numbers[key]}"] = tensorOf(media.embeddings)
    val images = unique.values.map { StoredImage(it.key, listOf(it.grid.t, it.grid.h, it.grid.w)) }
    return StoredSlots(images, feed.media.map { numbers.getValue(it.key) }, tensors)
}

/** (S,): the number of each slot's image or clip in feed.media, -1 for text. */
internal fun mediaNumbers(feed: Feed): IntArray {
    var number = 0
    var row = 0
    return IntArray(feed.size) { slot ->
        if (!feed.isMedia(slot)) return@IntArray TEXT
        while (row == feed.media[number].embeddings.rows) {
            number++
            row = 0
        }
        row++
        number
    }
}

/** Its embeddings are copies. Throws [Misfit], [PromptException] for what no conversation can be. */
internal fun feedOf(slots: StoredSlots, manifest: Manifest): Feed {
    val wanted = SLOTS + slots.images.indices.map { "embeddings.$it" }
    if (slots.tensors.keys != wanted) throw Misfit("it has other tensors than its images need")
    val checked = checkedSlots(slots.tensors, manifest)
    val images = slots.images.indices.map { image(it, slots, manifest) }
    if (images.distinctBy { it.key }.size != images.size) throw Misfit("it has an image twice")
    val media = slots.media.map { images.getOrNull(it) ?: throw Misfit("it names an image that it lacks") }
    checkPlaceholders(checked, media, manifest)
    // A model may have generated the id of a placeholder, which is text then.
    val placeholders = IntArray(checked.ids.size) { if (checked.numbers[it] >= 0) checked.ids[it] else TEXT }
    val merge = manifest.geometry.vision.spatialMergeSize
    val expected = mropePositions(placeholders, media.map { it.grid }, manifest.specialTokens, merge).ids
    if (!expected.indices.all { expected[it].contentEquals(checked.positions[it]) }) {
        throw Misfit("its rope positions are not those of its tokens")
    }
    val keys = Array(checked.ids.size) { slot -> media.getOrNull(checked.numbers[slot])?.key }
    return Feed(checked.ids, keys, expected, media)
}

private class CheckedSlots(val ids: IntArray, val numbers: IntArray, val positions: List<IntArray>)

private fun checkedSlots(tensors: Map<String, CacheTensor>, manifest: Manifest): CheckedSlots {
    val (ids, numbers, positions) = SLOTS.map { tensors.getValue(it) }
    val count = ids.shape.singleOrNull() ?: -1
    val most = manifest.maxContext + 1 // the last token of an answer that filled the context has no slot
    if (count !in 0..most || numbers.shape != listOf(count) || positions.shape != listOf(3, count)) {
        throw Misfit("its slots are more than the context holds, or differ in number")
    }
    if (listOf(ids, numbers, positions).any { it.dtype != "int64" }) throw Misfit("its slots are no whole numbers")
    val tokenIds = intsOf(ids)
    val rows = manifest.geometry.text.vocabSize
    if (tokenIds == null || tokenIds.any { it !in 0 until rows }) {
        throw Misfit("it has token ids outside the vocabulary")
    }
    val mediaNumbers = intsOf(numbers) ?: throw Misfit("its images have other slots than tokens")
    val all = intsOf(positions) ?: throw Misfit("its rope positions are not those of its tokens")
    return CheckedSlots(tokenIds, mediaNumbers, List(3) { all.copyOfRange(it * count, (it + 1) * count) })
}

private fun image(number: Int, slots: StoredSlots, manifest: Manifest): Media {
    val image = slots.images[number]
    val rows = slots.tensors.getValue("embeddings.$number")
    val area = manifest.geometry.vision.mergeArea
    val merge = manifest.geometry.vision.spatialMergeSize
    val (t, h, w) = image.grid
    val most = manifest.maxContext * area
    if (image.grid.any { it !in 1..most } || h % merge > 0 || w % merge > 0) {
        throw Misfit("an image has a grid that no image has")
    }
    if (image.key.length !in 1..MOST_KEY) throw Misfit("an image has no key, or a long one")
    // Each side is small enough for the product of two, and the rows of a tensor are whole numbers of 31 bits.
    val tokens = t.toLong() * (h / merge) * (w / merge)
    val columns = manifest.geometry.text.hiddenSize
    if (rows.dtype != "float32" || rows.shape.map { it.toLong() } != listOf(tokens, columns.toLong())) {
        throw Misfit("an image's embeddings do not fit its grid")
    }
    val embeddings = Matrix(tokens.toInt(), columns)
    ByteBuffer
        .wrap(rows.bytes)
        .order(ByteOrder.LITTLE_ENDIAN)
        .asFloatBuffer()
        .get(embeddings.values)
    if (embeddings.values.any { !it.isFinite() }) throw Misfit("an image's embeddings do not fit its grid")
    return Media(Grid(t, h, w), image.key, embeddings)
}

private fun checkPlaceholders(slots: CheckedSlots, media: List<Media>, manifest: Manifest) {
    val found = slots.numbers.filter { it != TEXT }
    val wanted = media.indices.flatMap { number -> List(media[number].embeddings.rows) { number } }
    if (found != wanted) throw Misfit("its images have other slots than tokens")
    val pads = listOf(manifest.specialTokens.imagePad, manifest.specialTokens.videoPad)
    if (slots.ids.indices.any { slots.numbers[it] != TEXT && slots.ids[it] !in pads }) {
        throw Misfit("an image has a slot that is no placeholder")
    }
}

private fun tensorOf(shape: List<Int>, values: IntArray): CacheTensor {
    val bytes = ByteBuffer.allocate(8 * values.size).order(ByteOrder.LITTLE_ENDIAN)
    for (value in values) bytes.putLong(value.toLong())
    return CacheTensor("int64", shape, bytes.array())
}

private fun tensorOf(matrix: Matrix): CacheTensor {
    val count = matrix.rows * matrix.columns
    val bytes = ByteBuffer.allocate(4 * count).order(ByteOrder.LITTLE_ENDIAN)
    bytes.asFloatBuffer().put(matrix.values, 0, count)
    return CacheTensor("float32", listOf(matrix.rows, matrix.columns), bytes.array())
}

/** null where one has more than 32 bits. */
private fun intsOf(tensor: CacheTensor): IntArray? {
    val values = ByteBuffer.wrap(tensor.bytes).order(ByteOrder.LITTLE_ENDIAN).asLongBuffer()
    return IntArray(values.remaining()) {
        val value = values.get()
        if (value.toInt().toLong() != value) return null
        value.toInt()
    }
}

private val SLOTS = setOf("token_ids", "media", "positions")
private const val MOST_KEY = 128 // characters
private const val TEXT = -1 // stands for a slot of text
