package dev.pocketvl.media.video

import dev.pocketvl.Golden
import dev.pocketvl.VideoException
import dev.pocketvl.double
import dev.pocketvl.int
import dev.pocketvl.listOf
import dev.pocketvl.media.PixelSize
import dev.pocketvl.media.imageSettings
import dev.pocketvl.media.pixelSize
import dev.pocketvl.members
import dev.pocketvl.visionGeometry
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class SamplingTest {
    @Test
    fun `frames, sizes and grids are the golden ones`() {
        val data = Golden.read("video_sampling")
        val settings = imageSettings(data["min_pixels"].int(), data["max_pixels"].int())
        val buckets = data["buckets"].listOf<Any?>().map { it.int() }
        val cases = data["cases"].listOf<Map<String, Any?>>()
        assertTrue(cases.size > 40)
        for (case in cases) {
            val plan = {
                planVideo(info(case), parseVideoOptions(case["wanted"].members()), visionGeometry(), settings, buckets)
            }
            if (case["expected"] == null) {
                assertFailsWith<VideoException>(case.toString()) { plan() }
                continue
            }
            val expected = case["expected"].members()
            val found = plan()
            assertEquals(expected["indices"].listOf<Any?>().map { it.int() }, found.indices.toList(), case.toString())
            assertEquals(pixelSize(expected["size"]), found.size, case.toString())
            val grid = listOf(found.grid.t, found.grid.h, found.grid.w)
            assertEquals(expected["grid"].listOf<Any?>().map { it.int() }, grid, case.toString())
            assertEquals(expected["tokens"].int().toLong(), tokensOf(found, 28), case.toString())
        }
    }

    @Test
    fun `what a video does not have is said in a sentence`() {
        val video = VideoInfo.atRate("clip.mp4", 30, PixelSize(720, 1280), 10.0)

        fun refusal(options: VideoOptions) = assertFailsWith<VideoException> { sampleFrames(video, options) }.message
        assertEquals(
            "clip.mp4 has no frame from 10 s to 3 s; it lasts 3.00 s and has 30 frames; give other times.",
            refusal(VideoOptions(videoStart = 10.0)),
        )
        assertEquals(
            "clip.mp4 has 30 frames to take, so that nframes 33 (rounded to a multiple of 2: 32) cannot be taken;" +
                " give 2 to 30, or leave nframes out.",
            refusal(VideoOptions(nframes = 33)),
        )
        assertFailsWith<VideoException> { VideoInfo("empty", 0, PixelSize(1, 1)) }
        assertFailsWith<VideoException> { VideoInfo("uneven", 2, PixelSize(1, 1), doubleArrayOf(0.0)) }
        assertFailsWith<VideoException> { VideoInfo.atRate("still", 2, PixelSize(1, 1), 0.0) }
    }

    private fun info(case: Map<String, Any?>): VideoInfo {
        val frames = case["frames"].int()
        val rate = case["rate"]?.double() ?: return VideoInfo("a", frames, pixelSize(case["size"]))
        return VideoInfo.atRate("a", frames, pixelSize(case["size"]), rate)
    }
}
