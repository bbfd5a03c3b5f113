package dev.pocketvl.presentation.chat

import dev.pocketvl.text.Box
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertNull

class LetterboxTest {
    @Test
    fun `a wide image has bars above and below`() {
        val map = Letterbox(imageWidth = 400, imageHeight = 200, viewWidth = 100, viewHeight = 100)
        assertEquals(0.25f, map.scale)
        assertEquals(ViewBox(25f, 37.5f, 75f, 50f, "cat"), map.map(box(100.0, 50.0, 300.0, 100.0)))
    }

    @Test
    fun `a tall image has bars at its sides and small ones grow`() {
        val map = Letterbox(imageWidth = 10, imageHeight = 20, viewWidth = 100, viewHeight = 100)
        assertEquals(5f, map.scale)
        assertEquals(ViewBox(25f, 0f, 75f, 100f, "cat"), map.map(box(0.0, 0.0, 10.0, 20.0)))
    }

    @Test
    fun `what lies outside of the image is cut off`() {
        val map = Letterbox(100, 100, 100, 100)
        assertEquals(ViewBox(90f, 0f, 100f, 100f, "cat"), map.map(box(90.0, -5.0, 120.0, 101.0)))
        assertNull(map.map(box(100.0, 0.0, 120.0, 50.0)))
    }

    @Test
    fun `a view without a size yet shows nothing`() {
        assertNull(Letterbox(100, 100, 0, 0).map(box(0.0, 0.0, 50.0, 50.0)))
        assertNull(Letterbox(0, 0, 100, 100).map(box(0.0, 0.0, 50.0, 50.0)))
    }

    private fun box(x1: Double, y1: Double, x2: Double, y2: Double) = Box("cat", 0, x1, y1, x2, y2)
}
