package dev.pocketvl.text

import dev.pocketvl.BundleException
import dev.pocketvl.PromptException
import java.io.File
import java.io.IOException
import java.security.MessageDigest

/**
 * Qwen2-VL's chat template, written as code: there is no Jinja here.
 *
 *     <|im_start|>system
 *     You are a helpful assistant.<|im_end|>                        if no system message comes first
 *     <|im_start|>user
 *     <|vision_start|><|image_pad|><|vision_end|>What is this?<|im_end|>
 *     <|im_start|>assistant
 *
 * A bundle's chat_template.jinja must be one of those that say this: the texts of Qwen2-VL's checkpoints and of the
 * project's tiny one are known by their SHA-256, a line break at the end apart. A template with other words (other
 * roles, a default system turn of its own, "Picture 1: " always there) would give other prompts than the exporter
 * checked, so it is refused: export the bundle anew with the template of Qwen2-VL, or write the model's own template
 * here and add its hash.
 *
 * Throws [PromptException] for a template that is not known.
 */
class ChatTemplate(source: String) {
    init {
        if (sha256(source.removeSuffix("\n")) !in KNOWN) {
            throw PromptException(
                "The bundle's chat_template.jinja is not Qwen2-VL's, which is the only one that this runtime can" +
                    " write; export the bundle with the chat template of Qwen2-VL, or run it in Python.",
            )
        }
    }

    /** Numbers the images and videos of one conversation; [isUsed]: "Picture 1: " stands before the first image. */
    internal class Numbers(val isUsed: Boolean) {
        private var images = 0
        private var videos = 0

        fun next(part: MediaPart): String {
            val number = if (part is ImagePart) ++images else ++videos
            return if (!isUsed) {
                ""
            } else if (part is ImagePart) {
                "Picture $number: "
            } else {
                "Video $number: "
            }
        }
    }

    /** What stands before the first of [messages]. */
    internal fun begin(messages: List<Message>, out: PromptWriter) {
        val first = messages.firstOrNull() ?: return
        if (first.role == Role.SYSTEM) return
        open(Role.SYSTEM, out)
        out.text(DEFAULT_SYSTEM)
        close(out)
    }

    /** A whole turn; one that [GoesOn] is left open. */
    internal fun message(message: Message, numbers: Numbers, out: PromptWriter) {
        open(message.role, out)
        content(message, numbers, out)
        if (message.parts.lastOrNull() != GoesOn) close(out)
    }

    internal fun open(role: Role, out: PromptWriter) {
        out.token(START)
        out.text(role.label + "\n")
    }

    internal fun content(message: Message, numbers: Numbers, out: PromptWriter) {
        for (part in message.parts) {
            if (part is MediaPart) out.text(numbers.next(part))
            out.part(part)
        }
    }

    internal fun close(out: PromptWriter) {
        out.token(END)
        out.text("\n")
    }

    companion object {
        /** The template in a file of a bundle. Throws [BundleException] and [PromptException]. */
        @JvmStatic
        fun read(file: File): ChatTemplate {
            if (file.length() > MAX_BYTES) {
                throw BundleException(
                    "$file has ${file.length()} bytes, more than any chat template; copy the bundle again.",
                )
            }
            val source =
                try {
                    file.readText()
                } catch (error: IOException) {
                    throw BundleException("$file cannot be read (${error.message}); copy the bundle again.")
                }
            return ChatTemplate(source)
        }

        private const val MAX_BYTES = 1L shl 18
        private const val START = "<|im_start|>"
        private const val END = "<|im_end|>"

        private const val DEFAULT_SYSTEM = "You are a helpful assistant."

        private val KNOWN =
            setOf(
                // Qwen2-VL-2B-Instruct, 7B and 72B
                "a0bc6f6fc7a29a80017a433e8f03a1cc1236e838a944a2d034295a60c4f2fddb",
                // the tiny checkpoint of this project
                "4875909cccfeac1da2f9556eddf2f05e8e520179ce0a4a506af762776aa682d5",
            )

        private fun sha256(text: String): String =
            MessageDigest.getInstance("SHA-256").digest(text.toByteArray()).joinToString("") { "%02x".format(it) }
    }
}
