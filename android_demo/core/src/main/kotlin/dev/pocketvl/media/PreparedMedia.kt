package dev.pocketvl.media

import dev.pocketvl.UsageException
import dev.pocketvl.decoding.Grid
import dev.pocketvl.decoding.Media
import dev.pocketvl.media.video.FrameSource
import dev.pocketvl.media.video.VideoOptions
import dev.pocketvl.media.video.VideoPlan

/** An image that is encoded already: a message may give it where it would give the image. */
class EncodedImage(
    val media: Media,
    /** Of the image as it was given, upright. */
    val sourceSize: PixelSize,
    override val notes: List<String> = emptyList(),
) : ImageSource {
    override val name: String get() = "the encoded image"

    override fun size(): PixelSize = sourceSize

    /** Throws [UsageException]. */
    override fun read(height: Int, width: Int): RgbImage =
        throw UsageException("An image that is encoded already has no pixels; give the image itself.")
}

/** Of which it is known how many tokens it takes. */
sealed interface PreparedMedia {
    val grid: Grid

    /** What the user should know about how it was read. */
    val notes: List<String>
}

/** An image at the size in which it is encoded. */
class PreparedImage internal constructor(
    /** null where it is encoded already. */
    internal val image: RgbImage?,
    override val grid: Grid,
    /** Equal for equal pixels. */
    val key: String,
    /** Of the image as it was given, upright. */
    val sourceSize: PixelSize,
    override val notes: List<String>,
    internal val encoded: Media?,
) : PreparedMedia

/** A video of which it is known what will be encoded; its frames are read by [VisionPipeline.encodeVideo]. */
class PreparedVideo internal constructor(
    internal val source: FrameSource,
    val options: VideoOptions,
    val plan: VideoPlan,
    private val own: List<String>,
) : PreparedMedia {
    override val grid: Grid get() = plan.grid

    /** Complete after the frames were read. */
    override val notes: List<String> get() = source.notes + own
}

/** What the encoder made of an image or video, and how much of it was known before: [cached] of its slices. */
class EncodedMedia(val media: Media, val cached: Int)
