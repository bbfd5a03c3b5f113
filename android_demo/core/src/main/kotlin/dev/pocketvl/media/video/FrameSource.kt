package dev.pocketvl.media.video

import dev.pocketvl.ImageException
import dev.pocketvl.VideoException
import dev.pocketvl.media.PixelSize
import dev.pocketvl.media.RgbImage
import java.io.Closeable

/**
 * An opened video: [FrameList], or the app's own over MediaExtractor and MediaCodec, or MediaMetadataRetriever.
 *
 * Nothing of it needs to be in memory but what [info] says.
 */
interface FrameSource {
    /** Number, size and times of the frames. */
    val info: VideoInfo

    /** Sentences about what was not read by the letter, complete after the frames were read. */
    val notes: List<String> get() = emptyList()

    /**
     * The frames of those ascending [indices] (one may be there twice), one after the other: upright RGB, each at
     * [size] or larger; the pipeline resizes what has another size.
     *
     * One frame is decoded at a time. Throws [VideoException], [ImageException]; whatever else is thrown, by the
     * iterator as well, becomes one that names the video. The iterator is closed however reading ends.
     */
    fun read(indices: IntArray, size: PixelSize): FrameIterator
}

/** Frames, and what a decoder holds while it gives them. */
interface FrameIterator :
    Iterator<RgbImage>,
    Closeable
