package dev.pocketvl.media

import dev.pocketvl.ImageException
import dev.pocketvl.Matrix
import dev.pocketvl.PromptException
import dev.pocketvl.UsageException
import dev.pocketvl.VideoException
import dev.pocketvl.VisionEngine
import dev.pocketvl.bundle.Manifest
import dev.pocketvl.bundle.ModelGeometry
import dev.pocketvl.bundle.goldenManifest
import dev.pocketvl.decoding.Grid
import dev.pocketvl.decoding.Media
import dev.pocketvl.media.video.FrameIterator
import dev.pocketvl.media.video.FrameList
import dev.pocketvl.media.video.FrameSource
import dev.pocketvl.media.video.VideoInfo
import dev.pocketvl.media.video.VideoOptions
import dev.pocketvl.textGeometry
import dev.pocketvl.visionGeometry
import java.util.concurrent.CancellationException
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotEquals
import kotlin.test.assertNull
import kotlin.test.assertTrue

class VisionPipelineTest {
    /** Gives each token the mean of its four patches' first values, and counts its calls. */
    private class Counting(val outputSize: Int) : VisionEngine {
        var calls = 0
        var released = 0

        override fun encode(patches: Matrix, ropeCos: Matrix, ropeSin: Matrix): Matrix {
            calls++
            assertEquals(patches.rows, ropeCos.rows)
            assertEquals(patches.rows, ropeSin.rows)
            val embeddings = Matrix(patches.rows / 4, outputSize)
            for (token in 0 until embeddings.rows) {
                val sum = (0 until 4).sumOf { patches[4 * token + it, 0].toDouble() }
                embeddings.values.fill(sum.toFloat(), token * outputSize, (token + 1) * outputSize)
            }
            return embeddings
        }

        override fun release() {
            released++
        }
    }

    private val engine = Counting(8)
    private val pipeline = pipeline(engine)

    /** For images of at most 28 tokens. */
    private fun pipeline(engine: Counting) =
        VisionPipeline(manifest(engine.outputSize), imageSettings(784, 28 * 784), engine)

    @Test
    fun `an image is resized, says its tokens and is encoded once`() {
        val prepared = pipeline.prepare(painted(200, 100))
        assertEquals(Grid(1, 8, 14), prepared.grid)
        assertEquals(28, pipeline.tokens(prepared))
        assertEquals(PixelSize(100, 200), prepared.sourceSize)
        val first = pipeline.encode(prepared)
        assertEquals(0, first.cached)
        assertEquals(28, first.media.embeddings.rows)
        assertEquals(prepared.key, first.media.key)
        val again = pipeline.encode(pipeline.prepare(painted(200, 100)))
        assertEquals(1, again.cached)
        assertContentEquals(first.media.embeddings.values, again.media.embeddings.values)
        assertEquals(1, engine.calls)
        assertEquals(0, pipeline.encode(pipeline.prepare(painted(200, 100, frame = 1))).cached)
        assertEquals(2, engine.calls)
    }

    @Test
    fun `what the app's decoder sampled down is resized, and its notes are handed on`() {
        val source =
            source { height, width ->
                assertTrue(height <= 150 && width <= 150)
                painted(150, 150)
            }
        val prepared = pipeline.prepare(source)
        assertEquals(PixelSize(600, 600), prepared.sourceSize)
        assertEquals(listOf("dark"), prepared.notes)
        assertEquals(contentKey(resizeImage(painted(150, 150), PixelSize(140, 140))), prepared.key)
    }

    @Test
    fun `an image that changes after it was prepared changes nothing`() {
        val image = painted(56, 56)
        val prepared = pipeline.prepare(image)
        val key = prepared.key
        image.pixels.fill(0)
        val clean = pipeline(Counting(8)).let { it.encode(it.prepare(painted(56, 56))) }
        val found = pipeline.encode(prepared)
        assertEquals(key, found.media.key)
        assertContentEquals(clean.media.embeddings.values, found.media.embeddings.values)
    }

    @Test
    fun `whatever a decoder throws names the image, but cancelling stays what it is`() {
        fun failing(error: Throwable) =
            assertFailsWith<ImageException> { pipeline.prepare(source { _, _ -> throw error }) }
        assertEquals(
            "photo.jpg is damaged or cut off (bad marker); copy the image again or save it anew.",
            failing(IllegalStateException("bad marker")).message,
        )
        assertEquals("photo.jpg does not fit into memory; scale it down first.", failing(OutOfMemoryError()).message)
        assertEquals("mine", failing(ImageException("mine")).message)
        assertFailsWith<CancellationException> {
            pipeline.prepare(source { _, _ -> throw CancellationException("stopped") })
        }
    }

    @Test
    fun `an encoded image stands for itself, and only in a bundle of its size`() {
        val encoded = pipeline.encodeNow(painted(56, 84))
        assertEquals(1, engine.calls)
        val prepared = pipeline.prepare(encoded)
        assertEquals(1, pipeline.encode(prepared).cached)
        assertEquals(PixelSize(84, 56), prepared.sourceSize)
        assertEquals(1, engine.calls)
        assertFailsWith<PromptException> { pipeline.prepare(encoded, ImageSize(detail = Detail.LOW)) }
        assertEquals(
            "This image was encoded to 8 values a token, but this bundle takes 16; encode it with a session of this" +
                " bundle.",
            assertFailsWith<PromptException> { pipeline(Counting(16)).prepare(encoded) }.message,
        )
        assertFailsWith<UsageException> { encoded.read(28, 28) }
    }

    @Test
    fun `embeddings that are remembered need no encoder, until they are forgotten`() {
        val prepared = pipeline.prepare(painted(56, 56))
        pipeline.remember(Media(prepared.grid, prepared.key, Matrix(4, 8)))
        assertEquals(1, pipeline.encode(prepared).cached)
        assertEquals(0, engine.calls)
        pipeline.forget()
        assertEquals(0, pipeline.encode(prepared).cached)
        pipeline.release()
        assertEquals(1, engine.released)
    }

    @Test
    fun `a video is encoded slice by slice, each once`() {
        val frames = listOf(0, 1, 0, 1, 2).map { painted(56, 56, frame = it) }
        val prepared = pipeline.prepareVideo(FrameList(frames), SMALL)
        assertEquals(Grid(3, 4, 4), prepared.grid)
        assertEquals(12, pipeline.tokens(prepared))
        val encoded = pipeline.encodeVideo(prepared)!!
        // The third and fourth frame are the first slice again; the last frame is repeated.
        assertEquals(1, encoded.cached)
        assertEquals(2, engine.calls)
        val values = encoded.media.embeddings.values
        assertEquals(12 * 8, values.size)
        assertContentEquals(values.copyOfRange(0, 32), values.copyOfRange(32, 64))
        assertEquals(3, pipeline.encodeVideo(prepared)!!.cached)
        assertEquals(encoded.media.key, pipeline.encodeVideo(prepared)!!.media.key)
        val shorter = pipeline.encodeVideo(pipeline.prepareVideo(FrameList(frames.take(4)), SMALL))!!
        assertNotEquals(encoded.media.key, shorter.media.key)
        val still = pipeline.prepare(frames[0])
        assertEquals(0, pipeline.encode(still).cached, "a slice is no image")
    }

    @Test
    fun `a key of a video is Python's`() {
        val frames = listOf(painted(56, 56), painted(56, 56, frame = 1))
        val encoded = pipeline.encodeVideo(pipeline.prepareVideo(FrameList(frames), SMALL))!!
        assertEquals("1485236ddc370ec9a1e08073f2d0df013ed34f1ccca19de34755ce481507465a", encoded.media.key)
        assertEquals(
            "6d74fbfb77e0eef8a8b6fc6609f98c882c60f1a86f0bed46a1c5336a782dec09",
            pipeline.prepare(frames[0]).key,
        )
    }

    @Test
    fun `cancelling stops before the next slice and closes the decoder`() {
        val video = Recorded(8)
        var asked = 0
        val prepared = pipeline.prepareVideo(video, SMALL)
        assertNull(pipeline.encodeVideo(prepared) { asked++ == 2 })
        assertEquals(2, engine.calls)
        assertEquals(4, video.given)
        assertEquals(1, video.closed)
    }

    @Test
    fun `a decoder that fails or stops short is an error that names the video, and is closed`() {
        fun failing(video: Recorded) =
            assertFailsWith<VideoException> {
                pipeline.encodeVideo(pipeline.prepareVideo(video, SMALL))
            }.also { assertEquals(1, video.closed) }
        assertEquals(
            "clip.mp4 gave 3 of the 8 frames that were wanted of it; it is damaged or cut off: copy it again.",
            failing(Recorded(8, there = 3)).message,
        )
        assertEquals(
            "clip.mp4 cannot be read as a video (codec); is it one, and whole? Copy it again or save it as MP4.",
            failing(Recorded(8, error = IllegalStateException("codec"))).message,
        )
    }

    @Test
    fun `a list of frames says that it has no times`() {
        val frames = FrameList(List(4) { painted(56, 56) })
        assertEquals(
            listOf("The list of frames has no times, so fps 0.5 changes nothing."),
            pipeline.prepareVideo(frames, SMALL.copy(fps = 0.5)).notes,
        )
        assertFailsWith<PromptException> { pipeline.prepareVideo(frames, VideoOptions(fps = 1.0, nframes = 2)) }
    }

    @Test
    fun `a video that is too long gets settings each of which alone makes it fit`() {
        val info = VideoInfo.atRate("long.mp4", 3000, PixelSize(720, 1280), 30.0)
        val video = pipeline.prepareVideo(Recorded(3000, info = info))
        val found = pipeline.settingsThatFit(video, 1000)
        assertEquals(2, found.size, found.toString())
        val nframes =
            Regex(
                "nframes (\\d+)(?: \\(fps ([\\d.]+)\\))?(?: with max_pixels (\\d+))?",
            ).matchEntire(found[0])!!
        val pinned = nframes.groupValues[3].toIntOrNull()
        val most = Regex("max_pixels (\\d+)").matchEntire(found[1])!!.groupValues[1].toInt()
        for (options in listOf(
            VideoOptions(nframes = nframes.groupValues[1].toInt(), maxPixels = pinned),
            VideoOptions(fps = nframes.groupValues[2].toDouble(), maxPixels = pinned),
            VideoOptions(maxPixels = most),
        )) {
            val tokens = pipeline.tokens(pipeline.prepareVideo(Recorded(3000, info = info), options))
            assertTrue(tokens in 500..1000, "$options: $tokens")
        }
    }

    /** Frames of one level each, as a decoder of a file gives them. */
    private class Recorded(
        frames: Int,
        private val there: Int = frames,
        private val error: Exception? = null,
        override val info: VideoInfo = VideoInfo("clip.mp4", frames, PixelSize(120, 120)),
    ) : FrameSource {
        var given = 0
        var closed = 0

        override fun read(indices: IntArray, size: PixelSize) =
            object : FrameIterator {
                override fun hasNext(): Boolean = given < minOf(indices.size, there)

                override fun next(): RgbImage {
                    error?.let { throw it }
                    return plain(120, 120, 10 * given++)
                }

                override fun close() {
                    closed++
                }
            }
    }

    private fun source(read: (height: Int, width: Int) -> RgbImage) =
        object : ImageSource {
            override val name = "photo.jpg"
            override val notes = listOf("dark")

            override fun size() = PixelSize(600, 600)

            override fun read(height: Int, width: Int) = read(height, width)
        }

    private companion object {
        val SMALL = VideoOptions(maxPixels = 3136, minPixels = 784)
    }
}

private fun manifest(outputSize: Int): Manifest {
    val text = textGeometry(32, 1e6, listOf(4, 6, 6)).copy(hiddenSize = outputSize)
    val geometry = ModelGeometry(visionGeometry(outputSize = outputSize), text)
    return goldenManifest("onnx").copy(geometry = geometry, buckets = listOf(256, 1024))
}
