package dev.pocketvl.text

import dev.pocketvl.PromptException
import dev.pocketvl.bundle.SpecialTokens

/**
 * Token ids of a prompt as it is written: special tokens by name, and ordinary text between them.
 *
 * Neighbouring texts are encoded as one, as a single string would be. What a text holds never becomes a special
 * token. [mediaTokens]: placeholders of each image or video in order.
 */
internal class PromptWriter(
    private val tokenizer: Tokenizer,
    private val special: SpecialTokens,
    private val mediaTokens: IntArray,
) {
    private val ids = IdList()
    private val pending = StringBuilder()
    private var media = 0

    fun text(text: String) {
        pending.append(text)
    }

    /** Throws [PromptException] if the tokenizer has no such token. */
    fun token(name: String) {
        val id =
            tokenizer.tokenId(name)
                ?: throw PromptException("This bundle's tokenizer has no $name; say it in plain text.")
        flush()
        ids.add(id)
    }

    /** Anything but what a template itself says. */
    fun part(part: Part) {
        when (part) {
            is TextPart -> text(part.text)
            is ObjectRef -> marked("object_ref", part.text)
            is Shape -> marked(part.kind.label, markup(part))
            is MediaPart -> media(if (part is ImagePart) special.imagePad else special.videoPad)
            is CallPart, GoesOn -> Unit // calls of tools are text by now
        }
    }

    /** Throws [PromptException] if there is nothing. */
    fun finish(): IntArray {
        flush()
        if (ids.size == 0) {
            throw PromptException("These messages make an empty prompt, to which there is no answer; say something.")
        }
        return ids.toIntArray()
    }

    private fun marked(name: String, text: String) {
        token("<|${name}_start|>")
        text(text)
        token("<|${name}_end|>")
    }

    private fun media(pad: Int) {
        flush()
        ids.add(special.visionStart)
        ids.repeat(pad, mediaTokens[media++])
        ids.add(special.visionEnd)
    }

    private fun flush() {
        tokenizer.encode(pending.toString(), ids)
        pending.setLength(0)
    }
}
