package dev.pocketvl.media

import dev.pocketvl.Matrix
import dev.pocketvl.decoding.Grid
import dev.pocketvl.decoding.Media
import kotlin.test.Test
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertSame

class ImageCacheTest {
    /** Of 40 bytes. */
    private fun media(key: String, values: Int = 10) = Media(Grid(1, 2, 2), key, Matrix(1, values))

    @Test
    fun `what was used longest ago goes first`() {
        val cache = ImageCache(100)
        cache.put("a", media("a"))
        cache.put("b", media("b"))
        assertNotNull(cache.get("a"))
        cache.put("c", media("c"))
        assertNull(cache.get("b"))
        assertNotNull(cache.get("a"))
        assertNotNull(cache.get("c"))
    }

    @Test
    fun `an entry that is replaced counts once`() {
        val cache = ImageCache(100)
        cache.put("a", media("a"))
        repeat(5) { cache.put("b", media("b")) }
        assertNotNull(cache.get("a"))
        val newest = media("b")
        cache.put("b", newest)
        assertSame(newest, cache.get("b"))
    }

    @Test
    fun `the newest stays even where it alone is too large`() {
        val cache = ImageCache(100)
        cache.put("a", media("a"))
        cache.put("large", media("large", 1000))
        assertNull(cache.get("a"))
        assertNotNull(cache.get("large"))
        cache.put("b", media("b"))
        assertNull(cache.get("large"))
        cache.clear()
        assertNull(cache.get("b"))
        cache.put("c", media("c"))
        cache.put("d", media("d"))
        assertNotNull(cache.get("c"))
    }
}
