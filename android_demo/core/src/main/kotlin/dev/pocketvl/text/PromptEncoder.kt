package dev.pocketvl.text

import dev.pocketvl.PromptException
import dev.pocketvl.bundle.SpecialTokens

/**
 * Messages to token ids: the family's chat template, with images as runs of placeholder tokens.
 *
 * What a user writes never becomes a special token: <|im_start|> in a text is encoded as the ordinary text it is,
 * all other text gets exactly the ids that encoding the rendered template as a whole gives.
 *
 * Without a [template] (a base model) a prompt is a completion: texts and images one after the other, roles without
 * a meaning. [addVisionId] numbers the images as "Picture 1: "; throws [PromptException] if there is no template.
 */
class PromptEncoder
    @JvmOverloads
    constructor(
        private val tokenizer: Tokenizer,
        private val special: SpecialTokens,
        private val template: ChatTemplate?,
        private val addVisionId: Boolean = false,
    ) {
        init {
            if (addVisionId && template == null) {
                throw PromptException("This bundle's chat template cannot number images; leave out addVisionId.")
            }
            if (template != null) checkAddedTokens()
        }

        /**
         * Ids of a whole conversation; [answerNext] opens the assistant's turn at the end.
         *
         * [mediaTokens] is, for each image or clip in order, its number of tokens. Shapes must be in thousandths.
         * Throws [PromptException], also where nothing is left to answer.
         */
        @JvmOverloads
        fun encode(messages: List<Message>, mediaTokens: List<Int>, answerNext: Boolean = true): IntArray {
            val out = writer(messages, mediaTokens)
            if (template == null) return completed(messages, out)
            val numbers = ChatTemplate.Numbers(addVisionId)
            template.begin(messages, out)
            for (message in messages) template.message(message, numbers, out)
            if (answerNext && !goesOn(messages)) template.open(Role.ASSISTANT, out)
            return out.finish()
        }

        /**
         * Ids that follow the last answer's own ids when [following] is appended to [history].
         *
         * [history] ends with that answer, whose text and ids stand in the KV cache already without the token that
         * closed it: the ids returned begin with closing it and end with opening the next answer. They are the tail
         * of encode(history + following). A message of the assistant as the first of [following] goes on in that
         * answer's turn. [mediaTokens] is for [following] alone. Throws [PromptException] if history does not end
         * with an answer.
         */
        fun encodeContinuation(history: List<Message>, following: List<Message>, mediaTokens: List<Int>): IntArray {
            if (history.lastOrNull()?.role != Role.ASSISTANT) {
                throw PromptException(
                    "A conversation continues after an answer; start with the whole of it instead.",
                )
            }
            val out = writer(following, mediaTokens)
            if (template == null) return completed(following, out)
            if (history.size == 1) {
                throw PromptException(
                    "The chat template writes earlier turns differently once a new one follows; encode the whole" +
                        " conversation again.",
                )
            }
            val numbers = ChatTemplate.Numbers(addVisionId)
            mediaOf(history.dropLast(1)).forEach(numbers::next)
            val goingOn = following.firstOrNull()?.takeIf { it.role == Role.ASSISTANT }
            if (goingOn != null) template.content(goingOn, numbers, out)
            if (goingOn?.parts?.lastOrNull() != GoesOn) template.close(out)
            val turns = if (goingOn == null) following else following.drop(1)
            for (message in turns) template.message(message, numbers, out)
            if (!goesOn(following)) template.open(Role.ASSISTANT, out)
            return out.finish()
        }

        private fun writer(messages: List<Message>, mediaTokens: List<Int>): PromptWriter {
            val media = mediaOf(messages).size
            if (media != mediaTokens.size) {
                throw PromptException(
                    "The messages hold $media images and videos, but sizes were given for ${mediaTokens.size}; give" +
                        " one for each.",
                )
            }
            return PromptWriter(tokenizer, special, mediaTokens.toIntArray())
        }

        private fun completed(messages: List<Message>, out: PromptWriter): IntArray {
            for (part in messages.flatMap { it.parts }) {
                if (part is CallPart || part == GoesOn) {
                    throw PromptException(
                        "A model without a chat template calls no tools; leave out calls and results.",
                    )
                }
                out.part(part)
            }
            return out.finish()
        }

        /** So that no added token can begin in the template's own words, or take in what follows one of its marks. */
        private fun checkAddedTokens() {
            val odd =
                tokenizer.addedTexts.firstOrNull { text ->
                    text[0] != '<' || MARKS.any { it != text && text.startsWith(it) }
                } ?: return
            throw PromptException(
                "This bundle's tokenizer has the added token '$odd', which the chat template could write by chance;" +
                    " export the bundle from a Qwen2-VL checkpoint.",
            )
        }

        private fun goesOn(messages: List<Message>): Boolean = messages.lastOrNull()?.parts?.lastOrNull() == GoesOn

        private companion object {
            val MARKS =
                listOf(
                    "im_start",
                    "im_end",
                    "vision_start",
                    "vision_end",
                    "image_pad",
                    "video_pad",
                ).map { "<|$it|>" }
        }
    }
