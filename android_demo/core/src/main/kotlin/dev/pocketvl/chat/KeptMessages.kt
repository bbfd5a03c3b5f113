package dev.pocketvl.chat

import dev.pocketvl.decoding.Media
import dev.pocketvl.media.EncodedImage
import dev.pocketvl.media.PixelSize
import dev.pocketvl.text.ImagePart
import dev.pocketvl.text.Message
import dev.pocketvl.text.VideoPart

/**
 * The same messages for a history: of images the embeddings, which are held anyway, and no pixels; of videos nothing.
 *
 * [media]: of all images and videos, in order. [sizes]: of the images as they were given. So an app can give a part
 * of the history back as messages, and its images are not encoded again.
 */
internal fun keptMessages(messages: List<Message>, media: List<Media>, sizes: List<PixelSize>): List<Message> {
    val encoded = media.iterator()
    val given = sizes.iterator()
    return messages.map { message ->
        val parts =
            message.parts.map { part ->
                when (part) {
                    is ImagePart -> {
                        ImagePart(EncodedImage(encoded.next(), given.next()))
                    }

                    is VideoPart -> {
                        VideoPart(null).also { encoded.next() }
                    }

                    else -> {
                        part
                    }
                }
            }
        Message(message.role, parts, message.toolCallId)
    }
}
