package dev.pocketvl.decoding

import dev.pocketvl.Matrix
import dev.pocketvl.PromptException
import dev.pocketvl.UsageException
import dev.pocketvl.bundle.SpecialTokens
import kotlin.concurrent.thread
import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class FeedTest {
    private val special = SpecialTokens(90, 91, 92, 93, listOf(95), 95)

    private fun media(key: String, grid: Grid = Grid(1, 4, 4)): Media {
        val random = Random(key.hashCode())
        return Media(grid, key, Matrix(grid.t * grid.h * grid.w / 4, 3).also { fill(it, random) })
    }

    private fun fill(matrix: Matrix, random: Random) =
        matrix.values.indices.forEach { matrix.values[it] = random.nextFloat() }

    private fun pads(one: Media, pad: Int = 90) = IntArray(one.embeddings.rows) { pad }

    private fun Feed.positionLists() = positions.map { it.toList() }

    @Test
    fun `positions and keys of an image between texts`() {
        val one = media("a")
        val feed = buildFeed(intArrayOf(1) + pads(one) + 2, listOf(one), special, 2)
        assertEquals(listOf(null, "a", "a", "a", "a", null), feed.mediaKeys.toList())
        assertEquals(
            listOf(listOf(0, 1, 1, 1, 1, 3), listOf(0, 1, 1, 2, 2, 3), listOf(0, 1, 2, 1, 2, 3)),
            feed.positionLists(),
        )
        assertEquals(4, feed.nextPosition)
        assertEquals(0, Feed.EMPTY.nextPosition)
    }

    @Test
    fun `a generated placeholder is text`() {
        val feed = textFeed(intArrayOf(90, 91), 7)
        assertEquals(listOf(false, false), List(2, feed::isMedia))
        assertEquals(List(3) { listOf(7, 8) }, feed.positionLists())
    }

    @Test
    fun `one after the other equals all at once, and its beginning is the first again`() {
        val first = media("a")
        val second = media("b", Grid(2, 4, 8))
        val ids = listOf(intArrayOf(1) + pads(first) + 2, intArrayOf(3) + pads(second, 91) + 4)
        val head = buildFeed(ids[0], listOf(first), special, 2)
        val whole = head.then(buildFeed(ids[1], listOf(second), special, 2, head.nextPosition))
        val expected = buildFeed(ids[0] + ids[1], listOf(first, second), special, 2)
        for ((found, wanted) in listOf(whole to expected, whole.first(6) to head, whole.first(99) to expected)) {
            assertEquals(wanted.tokenIds.toList(), found.tokenIds.toList())
            assertEquals(wanted.mediaKeys.toList(), found.mediaKeys.toList())
            assertEquals(wanted.positionLists(), found.positionLists())
            assertEquals(wanted.media, found.media)
            assertEquals(wanted.nextPosition, found.nextPosition)
        }
        assertEquals(emptyList(), whole.first(1).media)
        assertEquals(listOf(first), whole.first(7).media)
    }

    @Test
    fun `embeddings of any range of slots go to their rows`() {
        val parts = listOf(media("a"), media("bb"))
        val feed = buildFeed(intArrayOf(1) + pads(parts[0]) + 2 + pads(parts[1]) + 3, parts, special, 2)
        feed.checkMedia(3)
        val whole = Matrix(feed.size, 3).also { fill(it, Random(1)) }
        val text = whole.values.copyOf()
        parts[0].embeddings.values.copyInto(whole.values, 3)
        parts[1].embeddings.values.copyInto(whole.values, 18)
        for (from in 0..feed.size) {
            for (until in from..feed.size) {
                val found = Matrix(until - from, 3, text.copyOfRange(3 * from, 3 * until))
                feed.mediaEmbeddings(from, until, found)
                assertContentEquals(whole.values.copyOfRange(3 * from, 3 * until), found.values)
            }
        }
    }

    @Test
    fun `embeddings must match the placeholders and the decoder`() {
        val one = media("a")
        val short = Media(one.grid, one.key, one.embeddings.slice(0, 3))
        val feed = buildFeed(pads(one), listOf(short), special, 2)
        val message = assertFailsWith<PromptException> { feed.checkMedia(3) }.message!!
        assertContains(message, "has 4 image placeholders for 3 image embeddings")
        val whole = buildFeed(pads(one), listOf(one), special, 2)
        assertContains(assertFailsWith<PromptException> { whole.checkMedia(4) }.message!!, "the decoder takes 4")
        assertFailsWith<PromptException> { buildFeed(pads(one), emptyList(), special, 2) }
        assertFailsWith<PromptException> { buildFeed(intArrayOf(1), listOf(one), special, 2) }
    }

    @Test
    fun `images of one size are told apart`() {
        val (one, other) =
            listOf("a", "b").map { key ->
                media(key).let { buildFeed(intArrayOf(1) + pads(it) + 2, listOf(it), special, 2) }
            }
        val cache = KVCache().also { it.append(one) }
        assertContentEquals(one.tokenIds, other.tokenIds)
        assertEquals(listOf(6, 1), listOf(one, other).map(cache::commonPrefix))
    }

    @Test
    fun `common prefixes of texts`() {
        val random = Random(5)
        repeat(500) {
            val (held, wanted) = List(2) { IntArray(random.nextInt(12)) { random.nextInt(3) } }
            val length = random.nextInt(13)
            val cache = KVCache()
            if (random.nextBoolean()) cache.append(textFeed(held, 0)) else held.forEach(cache::append)
            cache.truncate(length)
            val left = held.take(length)
            val expected = left.zip(wanted.asIterable()).takeWhile { (one, other) -> one == other }.size
            assertEquals(expected, cache.commonPrefix(textFeed(wanted, 0)))
            assertEquals(listOf(left.size, left.size), listOf(cache.size, cache.nextPosition))
        }
    }

    @Test
    fun `a cut cache knows the position at the cut`() {
        val parts = listOf(media("a", Grid(1, 8, 4)), media("b", Grid(3, 4, 4)))
        val feed = buildFeed(intArrayOf(1) + pads(parts[0]) + 2 + pads(parts[1], 91), parts, special, 2)
        for (length in 0..feed.size) {
            val cache = KVCache().also { it.append(feed, 0, 4) }
            cache.append(feed, 4)
            cache.truncate(length)
            val held = feed.positions.flatMap { it.take(length) }
            assertEquals(if (length == 0) 0 else held.max() + 1, cache.nextPosition)
            cache.append(7)
            assertEquals(if (length == 0) 1 else held.max() + 2, cache.nextPosition)
        }
    }

    @Test
    fun `one claim at a time, given back once`() {
        val cache = KVCache()
        val first = cache.claim()
        assertContains(assertFailsWith<UsageException> { cache.claim() }.message!!, "answering already")
        thread { assertFailsWith<UsageException> { cache.withClaim {} } }.join()
        first.close()
        val second = cache.claim()
        first.close() // no longer its own
        assertFailsWith<UsageException> { cache.claim() }
        second.close()
        assertFailsWith<IllegalStateException> { cache.withClaim { error("x") } }
        assertEquals(3, cache.withClaim { 3 })
    }
}
