package dev.pocketvl.media

import dev.pocketvl.PocketVLException
import dev.pocketvl.VideoException
import dev.pocketvl.media.video.FrameIterator
import dev.pocketvl.media.video.FrameSource
import dev.pocketvl.media.video.VideoPlan
import java.io.Closeable
import java.util.concurrent.CancellationException

/** The frames of one slice of a video after the other, at the plan's size. Throws [VideoException]. */
internal class SliceReader(source: FrameSource, private val plan: VideoPlan, private val depth: Int) : Closeable {
    private val name = source.info.name
    private val frames: FrameIterator = videoNamed(name) { source.read(plan.indices, plan.size) }
    private var taken = 0

    fun next(): List<RgbImage> = videoNamed(name) { List(depth) { nextFrame() } }

    override fun close() = videoNamed(name) { frames.close() }

    private fun nextFrame(): RgbImage {
        if (!frames.hasNext()) {
            throw VideoException(
                "$name gave $taken of the ${plan.indices.size} frames that were wanted of it; it is damaged or cut" +
                    " off: copy it again.",
            )
        }
        taken++
        return frames.next().let { if (it.size() == plan.size) it else resizeImage(it, plan.size) }
    }
}

/** Whatever a decoder throws becomes a [VideoException] that names the video. */
private inline fun <T> videoNamed(name: String, read: () -> T): T =
    try {
        read()
    } catch (error: PocketVLException) {
        throw error
    } catch (error: CancellationException) {
        throw error
    } catch (error: OutOfMemoryError) {
        throw VideoException("$name does not fit into memory; scale it down first.", error)
    } catch (error: Exception) {
        val reason = error.message ?: error.javaClass.simpleName
        throw VideoException(
            "$name cannot be read as a video ($reason); is it one, and whole? Copy it again or save it as MP4.",
            error,
        )
    }
