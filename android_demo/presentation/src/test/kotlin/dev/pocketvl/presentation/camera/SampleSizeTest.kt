package dev.pocketvl.presentation.camera

import dev.pocketvl.media.PixelSize
import kotlin.test.Test
import kotlin.test.assertEquals

class SampleSizeTest {
    @Test
    fun `what fits is decoded whole`() {
        assertEquals(1, sampleSize(PixelSize(3000, 4000), PixelSize(672, 896)))
        assertEquals(1, sampleSize(PixelSize(4096, 8192), PixelSize(672, 896)))
    }

    @Test
    fun `a larger image is halved until it fits`() {
        assertEquals(2, sampleSize(PixelSize(6000, 8000), PixelSize(672, 896)))
        assertEquals(4, sampleSize(PixelSize(12000, 16000), PixelSize(672, 896)))
    }

    @Test
    fun `no side gets shorter than wanted`() {
        assertEquals(1, sampleSize(PixelSize(100, 1_000_000), PixelSize(56, 28_000)))
        assertEquals(2, sampleSize(PixelSize(120, 1_000_000), PixelSize(56, 28_000)))
    }
}
