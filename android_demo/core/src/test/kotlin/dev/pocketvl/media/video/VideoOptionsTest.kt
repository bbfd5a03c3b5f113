package dev.pocketvl.media.video

import dev.pocketvl.PromptException
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class VideoOptionsTest {
    @Test
    fun `the keys of a message are read, null being as good as not given`() {
        val part = mapOf("type" to "video", "fps" to 2L, "max_pixels" to 50176L, "nframes" to null, "video_end" to 1.5)
        assertEquals(VideoOptions(fps = 2.0, maxPixels = 50176, videoEnd = 1.5), parseVideoOptions(part))
        assertEquals(VideoOptions.AS_THE_RULE, parseVideoOptions(emptyMap()))
    }

    @Test
    fun `what cannot be meant is refused in a sentence`() {
        val cases =
            mapOf(
                mapOf("nframes" to 1L) to "video.nframes must be a whole number from 2 to 2147483647, not 1.",
                mapOf("max_pixels" to 0L) to "video.max_pixels must be a whole number from 1 to 2147483647, not 0.",
                mapOf(
                    "max_pixels" to true,
                ) to "video.max_pixels must be a whole number from 1 to 2147483647, not true.",
                mapOf("max_pixels" to 5.5) to "video.max_pixels must be a whole number from 1 to 2147483647, not 5.5.",
                mapOf("fps" to "2") to "video.fps must be a number of frames a second, above 0, not '2'.",
                mapOf("fps" to 0.0) to "video.fps must be a number of frames a second, above 0, not 0.0.",
                mapOf("video_start" to -1.0) to "video.video_start must be a number of seconds, 0 or more, not -1.0.",
                mapOf("fps" to 1.0, "nframes" to 4L) to "video gives both fps and nframes; leave one out.",
                mapOf("nframes" to 4L, "max_frames" to 8L) to
                    "video gives nframes, so that min_frames and max_frames mean nothing; leave them out.",
                mapOf("resized_width" to 28L) to
                    "video gives only one of resized_height and resized_width; give both.",
                mapOf("min_frames" to 9L, "max_frames" to 8L) to
                    "video.min_frames 9 lies above its max_frames 8; swap them.",
                mapOf("video_start" to 2.0, "video_end" to 1.0) to
                    "video.video_start 2.0 lies above its video_end 1.0; swap them.",
            )
        for ((part, message) in cases) {
            assertEquals(message, assertFailsWith<PromptException> { parseVideoOptions(part) }.message)
        }
        assertFailsWith<PromptException> { VideoOptions(fps = Double.NaN).checked() }
        assertFailsWith<PromptException> { parseVideoOptions(mapOf("max_pixels" to (1L shl 40))) }
    }

    @Test
    fun `numbers are written as Python writes them`() {
        val general =
            mapOf(
                0.0 to "0",
                2.0 to "2",
                0.033 to "0.033",
                29.97 to "29.97",
                1234567.0 to "1.23457e+06",
                1e-5 to "1e-05",
                0.0001 to "0.0001",
                100000.0 to "100000",
                -3.5 to "-3.5",
                1e6 to "1e+06",
            )
        for ((value, text) in general) assertEquals(text, asGeneral(value))
        assertEquals("2.67", asFixed(2.675, 2))
        assertEquals(0.033, toDigits(0.03333, 2))
    }
}
