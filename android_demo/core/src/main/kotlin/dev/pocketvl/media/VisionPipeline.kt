package dev.pocketvl.media

import dev.pocketvl.EngineException
import dev.pocketvl.ImageException
import dev.pocketvl.Matrix
import dev.pocketvl.PromptException
import dev.pocketvl.VideoException
import dev.pocketvl.VisionEngine
import dev.pocketvl.bundle.ImageSettings
import dev.pocketvl.bundle.Manifest
import dev.pocketvl.decoding.Media
import dev.pocketvl.media.video.FrameSource
import dev.pocketvl.media.video.VideoOptions
import dev.pocketvl.media.video.VideoPlan
import dev.pocketvl.media.video.asGeneral
import dev.pocketvl.media.video.checked
import dev.pocketvl.media.video.planVideo
import dev.pocketvl.visionRope
import java.security.MessageDigest
import kotlin.math.min

/** Most bytes of embeddings that are kept, and the share of the heap that they may take. */
private const val CACHE_BYTES = 256_000_000L
private const val CACHE_SHARE = 8

/**
 * Images and videos to embeddings: resize, patches, rope, encoder; each image, each slice of a video encoded once.
 *
 * [prepare] is quick and says how many tokens an image takes; [encode] runs the encoder. [settings]: the bundle's,
 * or a session's, see [sessionLimits]. [cacheBytes]: of embeddings that are kept on the heap.
 */
class VisionPipeline(
    manifest: Manifest,
    private val settings: ImageSettings,
    private val engine: VisionEngine,
    cacheBytes: Long = min(CACHE_BYTES, Runtime.getRuntime().maxMemory() / CACHE_SHARE),
) {
    private val vision = manifest.geometry.vision
    private val buckets = manifest.buckets
    private val cache = ImageCache(cacheBytes)

    /**
     * Reads and resizes an image. Throws [ImageException]; [PromptException] for limits that contradict each other
     * or what is encoded.
     */
    @JvmOverloads
    fun prepare(source: ImageSource, wanted: ImageSize = ImageSize.AS_THE_SESSION): PreparedImage {
        if (source is EncodedImage) {
            check(source, wanted)
            val media = source.media
            return PreparedImage(null, media.grid, media.key, source.sourceSize, source.notes, media)
        }
        val given = damageNamed(source.name) { source.size() }
        val size = imageSize(given.height, given.width, wanted, vision, settings, buckets)
        val resized =
            damageNamed(source.name) {
                val read = source.read(size.height, size.width)
                if (read !== source && read.size() == size) read else resizeImage(read, size)
            }
        return PreparedImage(resized, gridOf(size, vision), contentKey(resized), given, source.notes.toList(), null)
    }

    /** Both steps. Throws what they throw. */
    fun encodeNow(source: ImageSource): EncodedImage {
        val prepared = prepare(source)
        return EncodedImage(encode(prepared).media, prepared.sourceSize, prepared.notes)
    }

    /** Have an image's embeddings without running the encoder. */
    fun remember(media: Media) = cache.put(media.key, media)

    /** Says what of a video will be encoded. Throws [VideoException], [PromptException]. */
    @JvmOverloads
    fun prepareVideo(source: FrameSource, options: VideoOptions = VideoOptions.AS_THE_RULE): PreparedVideo {
        val plan = plan(source, options.checked())
        val fps = options.fps
        val notes =
            if (source.info.times != null || fps == null) {
                emptyList()
            } else {
                listOf("${source.info.name} has no times, so fps ${asGeneral(fps)} changes nothing.")
            }
        return PreparedVideo(source, options, plan, notes)
    }

    /** Settings that bring a video that is too long to at most [room] tokens, see video/Fit.kt. */
    fun settingsThatFit(video: PreparedVideo, room: Int): List<String> {
        val planWith = { options: VideoOptions -> plan(video.source, options) }
        return dev.pocketvl.media.video.settingsThatFit(
            video.source.info,
            video.options,
            video.plan,
            planWith,
            vision.factor,
            room,
        )
    }

    /** How many tokens it takes in a prompt. */
    fun tokens(prepared: PreparedMedia): Int {
        val (t, h, w) = prepared.grid
        return Math.multiplyExact(t, h * w) / vision.mergeArea
    }

    /** The embeddings (tokens, outputSize). Throws [EngineException]. */
    fun encode(prepared: PreparedImage): EncodedMedia {
        val known = prepared.encoded ?: cache.get(prepared.key)
        if (known != null) return EncodedMedia(known, 1)
        val image = checkNotNull(prepared.image)
        val rope = visionRope(prepared.grid.h, prepared.grid.w, vision)
        val embeddings = engine.encode(patchify(image, vision, settings), rope.cos, rope.sin)
        val media = Media(prepared.grid, prepared.key, embeddings)
        cache.put(prepared.key, media)
        return EncodedMedia(media, 0)
    }

    /**
     * The embeddings of a video (tokens, outputSize), one slice encoded after the other.
     *
     * null where [cancelled], which is asked before each slice. The frames of one slice are in memory at a time,
     * and its embeddings twice, in the video's and in the cache. Throws [VideoException], [EngineException].
     */
    @JvmOverloads
    fun encodeVideo(prepared: PreparedVideo, cancelled: () -> Boolean = { false }): EncodedMedia? {
        val (slices, rows, columns) = prepared.grid
        val tokens = rows * columns / vision.mergeArea
        val embeddings = Matrix(Math.multiplyExact(slices, tokens), vision.outputSize)
        val rope = visionRope(rows, columns, vision)
        val digest = MessageDigest.getInstance("SHA-256")
        digest.update("video $slices".toByteArray())
        var cachedSlices = 0
        SliceReader(prepared.source, prepared.plan, vision.temporalPatchSize).use { reader ->
            for (number in 0 until slices) {
                if (cancelled()) return null
                val frames = reader.next()
                val key = sliceKey(frames)
                digest.update(key.toByteArray())
                var media = cache.get(key)
                if (media != null) {
                    cachedSlices++
                } else {
                    val own = engine.encode(patchify(frames, vision, settings), rope.cos, rope.sin)
                    media = Media(gridOf(prepared.plan.size, vision), key, own)
                }
                cache.put(key, media)
                val size = tokens * vision.outputSize
                media.embeddings.values.copyInto(embeddings.values, number * size, 0, size)
            }
        }
        return EncodedMedia(Media(prepared.grid, hex(digest.digest()), embeddings), cachedSlices)
    }

    /** Frees the encoder's memory until the next image that is not cached. */
    fun release() = engine.release()

    /** Frees the embeddings that are kept. */
    fun forget() = cache.clear()

    private fun plan(source: FrameSource, options: VideoOptions): VideoPlan =
        planVideo(source.info, options, vision, settings, buckets)

    private fun check(source: EncodedImage, wanted: ImageSize) {
        if (wanted != ImageSize.AS_THE_SESSION) {
            throw PromptException("An image that is encoded already keeps its size; leave out the part's own.")
        }
        val size = source.media.embeddings.columns
        if (size != vision.outputSize) {
            throw PromptException(
                "This image was encoded to $size values a token, but this bundle takes ${vision.outputSize}; encode" +
                    " it with a session of this bundle.",
            )
        }
    }
}

/** Equal for equal pixels of all frames; never that of an image. */
private fun sliceKey(frames: List<RgbImage>): String {
    val text = frames.joinToString(" ", "slice ") { contentKey(it) }
    return hex(MessageDigest.getInstance("SHA-256").digest(text.toByteArray()))
}
