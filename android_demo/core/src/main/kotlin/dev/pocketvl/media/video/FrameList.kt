package dev.pocketvl.media.video

import dev.pocketvl.ImageException
import dev.pocketvl.VideoException
import dev.pocketvl.media.ImageSource
import dev.pocketvl.media.PixelSize
import dev.pocketvl.media.RgbImage
import dev.pocketvl.media.damageNamed

/**
 * A video as a list of images, each of which is read when it is wanted: all of the first one's size.
 *
 * Throws [VideoException] for an empty list, [ImageException] for a first one that cannot be read.
 */
class FrameList(private val frames: List<ImageSource>, name: String = "The list of frames") : FrameSource {
    override val info: VideoInfo
    private val found = ArrayList<String>()
    private var noted = 0

    init {
        if (frames.isEmpty()) throw VideoException("$name is empty; give at least one.")
        info = VideoInfo(name, frames.size, inFrame(0) { frames[0].size() })
    }

    override val notes: List<String> get() = found

    override fun read(indices: IntArray, size: PixelSize): FrameIterator =
        object : FrameIterator {
            private var next = 0

            override fun hasNext(): Boolean = next < indices.size

            override fun next(): RgbImage = inFrame(indices[next++]) { read(indices[next - 1], size) }

            override fun close() = Unit
        }

    private fun read(index: Int, size: PixelSize): RgbImage {
        val frame = frames[index]
        val own = frame.size()
        if (own != info.size) {
            throw VideoException("has $own pixels, but the first ${info.size}; give frames of one size.")
        }
        return frame.read(size.height, size.width).also { note(where(index), frame.notes) }
    }

    /** The first frame's in full; of hundreds of frames with such notes only their number. */
    private fun note(where: String, notes: List<String>) {
        if (notes.isEmpty()) return
        if (noted == 0) notes.mapTo(found) { "$where: $it" }
        if (noted == 1) found += ""
        if (noted > 0) found[found.lastIndex] = "$noted more frames have such notes."
        noted++
    }

    private fun where(index: Int): String = "frame $index of ${frames.size} (counted from 0)"

    private inline fun <T> inFrame(index: Int, read: () -> T): T =
        try {
            damageNamed(frames[index].name, read)
        } catch (error: VideoException) {
            throw VideoException("${where(index)}: ${error.message}", error)
        } catch (error: ImageException) {
            throw ImageException("${where(index)}: ${error.message}", error)
        }

    companion object {
        /**
         * The list of what an iterator gives: how many there are decides how large each is encoded, so that all
         * must be known first. [maxFrames]: that of the video's options. Throws [VideoException] for more.
         */
        @JvmStatic
        @JvmOverloads
        fun of(frames: Iterator<ImageSource>, maxFrames: Int? = null): FrameList {
            val most = maxFrames ?: MAX_FRAMES
            val taken = ArrayList<ImageSource>()
            for (frame in frames) {
                if (taken.size == most) {
                    throw VideoException(
                        "The iterator of frames gives more than $most; give fewer, raise max_frames, or give a list," +
                            " of which nframes can be taken.",
                    )
                }
                taken += frame
            }
            return FrameList(taken, "The iterator of frames")
        }
    }
}
