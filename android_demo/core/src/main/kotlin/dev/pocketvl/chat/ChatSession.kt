package dev.pocketvl.chat

import dev.pocketvl.UsageException
import dev.pocketvl.chat.saved.SavedChat
import dev.pocketvl.chat.saved.SessionOptions
import dev.pocketvl.chat.saved.putCache
import dev.pocketvl.chat.saved.readChat
import dev.pocketvl.chat.saved.takeCache
import dev.pocketvl.chat.saved.writeChat
import dev.pocketvl.decoding.Decoder
import dev.pocketvl.media.EncodedImage
import dev.pocketvl.media.ImageSource
import dev.pocketvl.media.VisionPipeline
import dev.pocketvl.media.sessionLimits
import dev.pocketvl.text.Message
import dev.pocketvl.text.PromptEncoder
import dev.pocketvl.text.Role
import dev.pocketvl.text.VideoPart
import dev.pocketvl.text.checkConversation
import dev.pocketvl.text.checkMessages
import dev.pocketvl.text.checkResults
import java.io.File

/**
 * A conversation about images and videos on one KV cache, in blocking calls; [dev.pocketvl.Chat] is its public face.
 *
 * Asks questions, one turn after the other. A turn that fails leaves the conversation as it was before. Sessions may
 * share an engine, one answering at a time: what another one has driven out of the KV cache is fed again from the
 * kept embeddings. Whoever calls [ask] or [regenerate] holds the cache's claim.
 *
 * Left out of Python's session: grammars (an answer that fits a JSON schema or a regular expression).
 */
internal class ChatSession(
    private val parts: ModelParts,
    private val options: SessionOptions,
    private val keepVision: Boolean,
    private val start: Conversation,
) {
    private val manifest = parts.manifest
    private val engine = parts.engine
    private val turns = TurnMaker(manifest, parts.never)
    private val vision =
        VisionPipeline(manifest, sessionLimits(manifest.image, options.minPixels, options.maxPixels), engine.vision)
    private val encoder =
        TurnEncoder(
            manifest,
            PromptEncoder(parts.tokenizer, manifest.specialTokens, parts.template, options.addVisionId),
            vision,
            keepVision,
        )
    private val answerer =
        Answerer(
            manifest,
            Decoder(engine.text, parts.table, manifest),
            engine.text.cache,
            parts.tokenizer,
            parts.never,
            options.stopRepetition,
            engine.costs,
        )

    /** All that was said. Whatever is set, only what the KV cache lacks of it is fed. */
    @Volatile
    var conversation: Conversation = start

    val maxContext: Int get() = manifest.maxContext

    /** Of the whole prompt, if [content] were asked; nothing is encoded. */
    fun countTokens(content: Content): Int {
        val (before, new) = messages(content)
        return encoder.countTokens(before, new)
    }

    fun measureImage(image: ImageSource): MeasuredImage = encoder.measureImage(image)

    fun measureVideo(video: VideoPart): MeasuredVideo = encoder.measureVideo(video)

    /** From any thread, also while an answer is made. Without keepVision the encoder is released again. */
    fun encodeImage(image: ImageSource): EncodedImage =
        try {
            vision.encodeNow(image)
        } finally {
            if (!keepVision) vision.release()
        }

    /** Frees the images' embeddings that are kept for questions to come, from any thread. */
    fun forgetImages() = vision.forget()

    /** Forgets the conversation, not the images' embeddings. */
    fun reset() {
        conversation = start
    }

    /** Throws [UsageException] for options that cannot be meant. */
    fun check(options: AskOptions) {
        turns.turn(options, Cancellation())
    }

    /**
     * One turn and its answer. Throws [UsageException], [dev.pocketvl.ContextException],
     * [dev.pocketvl.ImageException], [dev.pocketvl.PromptException], [dev.pocketvl.EngineException],
     * [dev.pocketvl.BundleException].
     */
    fun ask(content: Content, options: AskOptions, cancellation: Cancellation, progress: Progress): Answer {
        val turn = turns.turn(options, cancellation)
        val following = encode(content, turn)
        return answer(following, turn, progress)
    }

    /** The last answer made anew: the same question, of which one token is fed. Throws as [ask]. */
    fun regenerate(options: AskOptions, cancellation: Cancellation, progress: Progress): Answer {
        val turn = turns.turn(options, cancellation)
        return answer(encodeAgain(turn), turn, progress)
    }

    private fun answer(following: FollowingTurn, turn: Turn, progress: Progress): Answer {
        val answered = answerer.answer(following.before, following.turn, turn, progress)
        if (answered.answer.tokenIds.isNotEmpty()) conversation = answered.conversation
        return answered.answer
    }

    /** The conversation that goes on, and its next turn. */
    private fun encode(content: Content, turn: Turn): FollowingTurn {
        val (given, new) = messages(content)
        val before = given.withTools(turn.tools)
        if (content is Content.Messages && !content.areResults) {
            return encoder.encodeWhole(conversation, before, new, turn)
        }
        return FollowingTurn(before, encoder.encode(before, new, turn))
    }

    /** The conversation that goes on, or the start of a new one, and what is new in it. */
    private fun messages(content: Content): Pair<Conversation, List<Message>> =
        when (content) {
            is Content.Parts -> {
                conversation to checkMessages(listOf(Message(Role.USER, content.parts)))
            }

            is Content.Messages -> {
                if (content.areResults) {
                    conversation to checkResults(content.messages, conversation.openCalls)
                } else {
                    val new = checkConversation(content.messages)
                    (if (new[0].role == Role.SYSTEM) Conversation() else start) to new
                }
            }
        }

    /** The last turn as it was encoded. */
    private fun encodeAgain(turn: Turn): FollowingTurn {
        val last = conversation.withTools(turn.tools)
        val before =
            last.before ?: throw UsageException("There is no answer to make anew; ask a question first.")
        val messages = last.messages.subList(before.messages.size, last.messages.size - 1)
        return FollowingTurn(
            before,
            EncodedTurn(messages, last.feed.first(last.answerStart), last.imageSizes, emptyList()),
        )
    }

    /**
     * Writes the conversation to [file], with all that going on takes: texts, tokens, images' embeddings and, of what
     * the engine can give, keys and values. The claim is held. Throws [dev.pocketvl.ConversationException].
     */
    fun save(file: File) {
        val said = conversation
        val cache = takeCache(engine.text, said.feed)
        writeChat(file, manifest, SavedChat(options, said, cache.slots, cache.tensors))
    }

    companion object {
        fun begin(parts: ModelParts, options: ChatOptions): ChatSession {
            val first = options.system?.let { checkMessages(listOf(Message(Role.SYSTEM, it))) }.orEmpty()
            val saved =
                SessionOptions(options.minPixels, options.maxPixels, options.addVisionId, options.stopRepetition)
            return ChatSession(parts, saved, options.keepVision, Conversation(first))
        }

        /**
         * The session that [save] wrote, with a bundle of the same files. What was saved of the KV cache takes the
         * place of what the engine's holds; the rest is fed with the next question. The claim is held.
         *
         * Throws [dev.pocketvl.ConversationException] for a damaged file or another bundle's, and what making a
         * session throws.
         */
        fun restore(file: File, parts: ModelParts, keepVision: Boolean): ChatSession {
            val saved = readChat(file, parts.manifest)
            val start = generateSequence(saved.conversation) { it.before }.last()
            val session = ChatSession(parts, saved.options, keepVision, start)
            session.conversation = saved.conversation
            putCache(parts.engine.text, saved.conversation.feed, saved.cachedSlots, saved.cache)
            return session
        }
    }
}
