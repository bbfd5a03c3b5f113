package dev.pocketvl.chat

import dev.pocketvl.ContextException
import dev.pocketvl.Matrix
import dev.pocketvl.PromptException
import dev.pocketvl.bundle.Manifest
import dev.pocketvl.decoding.Feed
import dev.pocketvl.decoding.Media
import dev.pocketvl.decoding.buildFeed
import dev.pocketvl.media.ImageSource
import dev.pocketvl.media.PixelSize
import dev.pocketvl.media.PreparedImage
import dev.pocketvl.media.PreparedMedia
import dev.pocketvl.media.PreparedVideo
import dev.pocketvl.media.VisionPipeline
import dev.pocketvl.text.ImagePart
import dev.pocketvl.text.MediaPart
import dev.pocketvl.text.Message
import dev.pocketvl.text.PromptEncoder
import dev.pocketvl.text.Role
import dev.pocketvl.text.VideoPart
import dev.pocketvl.text.mediaOf
import dev.pocketvl.text.tools.inToolFormat
import dev.pocketvl.text.withThousandths

/**
 * [feed]: the whole conversation up to where the answer begins. [messages]: the new ones. [imageSizes]: of all images
 * so far. [notes]: sentences about new images and videos that were not read by the letter.
 */
internal class EncodedTurn(
    val messages: List<Message>,
    val feed: Feed,
    val imageSizes: List<PixelSize>,
    val notes: List<String>,
)

/** A turn, and the conversation that it follows. */
internal class FollowingTurn(val before: Conversation, val turn: EncodedTurn)

/** New messages to what the decoder is fed: media encoded, the prompt rendered, every token placed. For one session. */
internal class TurnEncoder(
    private val manifest: Manifest,
    private val prompts: PromptEncoder,
    private val vision: VisionPipeline,
    private val keepVision: Boolean,
) {
    /** An image as it would be encoded. Throws [dev.pocketvl.ImageException]. */
    fun measureImage(image: ImageSource): MeasuredImage {
        val prepared = vision.prepare(image)
        val side = manifest.geometry.vision.patchSize
        return MeasuredImage(prepared.grid.w * side, prepared.grid.h * side, vision.tokens(prepared))
    }

    /** A video as it would be encoded. Throws [dev.pocketvl.VideoException], [PromptException]. */
    fun measureVideo(part: VideoPart): MeasuredVideo {
        val prepared = prepare(part) as PreparedVideo
        val size = prepared.plan.size
        return MeasuredVideo(prepared.plan.indices.size, size.width, size.height, vision.tokens(prepared))
    }

    /** Of the prompt that [encode] would make. Throws what it throws before anything is encoded. */
    fun countTokens(before: Conversation, new: List<Message>): Int =
        before.feed.size + tokenIds(before, new, prepareAll(new)).size

    /**
     * Whatever can be refused is refused before the first image or frame is encoded; damage within a video is found
     * when its frames are read. Once cancelled, what is left to encode has no embeddings.
     *
     * Throws [dev.pocketvl.ImageException], [PromptException], [ContextException], [dev.pocketvl.UsageException],
     * [dev.pocketvl.EngineException], [dev.pocketvl.BundleException].
     */
    fun encode(before: Conversation, new: List<Message>, turn: Turn): EncodedTurn =
        encode(before, new, prepareAll(new), turn)

    /**
     * A whole conversation, which goes on after the longest part of [held] that it begins with.
     *
     * What such a part fed stays by its own ids: those of a text that an answer had need not be the ids that the
     * model generated. [start]: what comes before all messages. Throws as [encode].
     */
    fun encodeWhole(held: Conversation, start: Conversation, new: List<Message>, turn: Turn): FollowingTurn {
        val prepared = prepareAll(new)
        held.feed.media.forEach { vision.remember(it) } // which the cache may have let go
        for (part in answered(held)) {
            val own = part.messages.size - start.messages.size
            val count = part.feed.media.size
            if (own < 1 || part.tools != start.tools || !beginsWith(part, start, new, prepared)) continue
            val encoded =
                try {
                    encode(part, new.drop(own), prepared.drop(count), turn)
                } catch (error: ContextException) {
                    throw error
                } catch (_: PromptException) {
                    // a template that rewrites earlier turns: all of it is written anew
                    break
                }
            turn.imagesCached += count
            return FollowingTurn(part, encoded)
        }
        return FollowingTurn(start, encode(start, new, prepared, turn))
    }

    /**
     * Whether the messages say what [part] says, about equal images. A question follows.
     *
     * Whether two videos are equal is known when their frames were read; then the KV cache compares keys.
     */
    private fun beginsWith(
        part: Conversation,
        start: Conversation,
        new: List<Message>,
        prepared: List<PreparedMedia>,
    ): Boolean {
        val images = prepared.filterIsInstance<PreparedImage>()
        val sizes = images.map { it.sourceSize }
        val whole = start.messages + withThousandths(new, sizes, 0)
        val count = part.feed.media.size
        return whole.size > part.messages.size &&
            prepared.size >= count &&
            prepared.take(count).all { it is PreparedImage } &&
            images.take(count).map { it.key } == part.feed.media.map { it.key } &&
            sizes.take(count) == part.imageSizes &&
            part.messages.indices.all { isSame(whole[it], part.messages[it]) }
    }

    private fun encode(
        before: Conversation,
        given: List<Message>,
        prepared: List<PreparedMedia>,
        turn: Turn,
    ): EncodedTurn {
        val own = prepared.filterIsInstance<PreparedImage>().map { it.sourceSize }
        val sizes = before.imageSizes + own
        val new = withThousandths(given, sizes, before.imageSizes.size)
        val ids = tokenIds(before, new, prepared)
        checkContext(before, ids.size, prepared, turn)
        val media = encodeMedia(prepared, turn)
        val merge = manifest.geometry.vision.spatialMergeSize
        // Without embeddings a prompt is known, but not fed.
        val feed = buildFeed(ids, media, manifest.specialTokens, merge, before.feed.nextPosition)
        val notes = prepared.flatMap { it.notes }
        return EncodedTurn(keptMessages(new, media, own), before.feed.then(feed), sizes, notes)
    }

    private fun prepareAll(new: List<Message>): List<PreparedMedia> = mediaOf(new).map { prepare(it) }

    private fun prepare(part: MediaPart): PreparedMedia =
        when (part) {
            is ImagePart -> vision.prepare(part.source ?: throw notKept("image"), part.size)
            is VideoPart -> vision.prepareVideo(part.source ?: throw notKept("video"), part.options)
        }

    private fun notKept(what: String) =
        PromptException("A conversation does not keep this $what; give it again, or go on after it.")

    /** Those that follow what was fed before. */
    private fun tokenIds(before: Conversation, new: List<Message>, prepared: List<PreparedMedia>): IntArray {
        val counts = prepared.map { vision.tokens(it) }
        if (before.feed.size == 0) {
            return prompts.encode(inToolFormat(before.messages + new, before.tools), counts)
        }
        val history = inToolFormat(before.messages, before.tools)
        return prompts.encodeContinuation(history, inToolFormat(new, before.tools, beginning = false), counts)
    }

    private fun checkContext(before: Conversation, newTokens: Int, prepared: List<PreparedMedia>, turn: Turn) {
        val used = before.feed.size
        val needed = used + newTokens
        val limit = manifest.maxContext
        if (needed <= limit) return
        val earlier = if (used > 0) ", $used of them from earlier turns" else ""
        throw ContextException(
            "The prompt needs $needed tokens$earlier, but this bundle's context holds $limit;" +
                " ${videoRemedies(prepared, limit - needed, turn)}shorten it, lower maxPixels, begin a new" +
                " conversation, or export with a larger --max-context.",
        )
    }

    /** What to set so that the videos fit beside all else, with room for an answer. */
    private fun videoRemedies(prepared: List<PreparedMedia>, spare: Int, turn: Turn): String {
        val videos = prepared.filterIsInstance<PreparedVideo>()
        val all = videos.sumOf { vision.tokens(it) }
        val left = all + spare
        val room = left - minOf(turn.maxTokens, left.floorDiv(4))
        if (room <= 0) return ""
        return videos.take(MOST_REMEDIES).joinToString("") { video ->
            val own = vision.tokens(video)
            val settings = vision.settingsThatFit(video, (room.toLong() * own / all).toInt())
            if (settings.isEmpty()) {
                ""
            } else {
                "${video.source.info.name} (${video.plan.indices.size} frames, $own tokens) would fit with" +
                    " ${settings.joinToString(" or ")}; "
            }
        }
    }

    private fun encodeMedia(prepared: List<PreparedMedia>, turn: Turn): List<Media> {
        val began = System.nanoTime()
        val media = ArrayList<Media>()
        try {
            for (each in prepared) media.add(encodeOne(each, turn))
            return media
        } finally {
            // an encoder that failed would stay otherwise, through turns without new images, too
            val noneRan = media.size == prepared.size && turn.imagesEncoded + turn.slicesEncoded == 0
            if ((!noneRan || turn.isCancelled) && !keepVision) vision.release()
            turn.visionSeconds = secondsSince(began)
        }
    }

    /** Without embeddings once cancelled: the turn then ends before its prompt is fed. */
    private fun encodeOne(prepared: PreparedMedia, turn: Turn): Media {
        val nothing = Media(prepared.grid, "", Matrix(0, 0))
        if (turn.isCancelled) return nothing
        when (prepared) {
            is PreparedImage -> {
                val encoded = vision.encode(prepared)
                turn.imagesCached += encoded.cached
                turn.imagesEncoded += 1 - encoded.cached
                return encoded.media
            }

            is PreparedVideo -> {
                val clip = vision.encodeVideo(prepared) { turn.isCancelled } ?: return nothing
                turn.slicesCached += clip.cached
                turn.slicesEncoded += clip.media.grid.t - clip.cached
                return clip.media
            }
        }
    }

    private companion object {
        const val MOST_REMEDIES = 3 // videos of a turn for which it is said what would fit
    }
}

/** The conversation and those before it that end with an answer, the longest first. */
private fun answered(conversation: Conversation): Sequence<Conversation> =
    generateSequence(conversation) { it.before }.takeWhile { it.feed.size > 0 }

/** Whether both say the same, their images left out; of those the keys are compared. */
private fun isSame(one: Message, other: Message): Boolean {
    fun said(message: Message) = message.parts.map { if (it is MediaPart) it.javaClass else it }
    return one.role == other.role && said(one) == said(other)
}
