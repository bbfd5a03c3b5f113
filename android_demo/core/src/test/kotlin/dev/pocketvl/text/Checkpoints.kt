package dev.pocketvl.text

import dev.pocketvl.bundle.SpecialTokens
import java.io.File

/** The tiny checkpoint of the exporter: what a bundle's tokenizer and template are made of. */
object Checkpoints {
    val tiny = File(System.getProperty("pocketvl.golden"), "../../export/pocketvl/export/tiny/checkpoint")

    val tokenizer: Tokenizer by lazy { Tokenizer(tiny.resolve("tokenizer.json")) }

    val template: ChatTemplate by lazy { ChatTemplate.read(tiny.resolve("chat_template.jinja")) }

    val special: SpecialTokens by lazy { specialTokens(tokenizer) }

    fun specialTokens(tokenizer: Tokenizer): SpecialTokens {
        fun id(name: String) = tokenizer.tokenId("<|$name|>")!!
        return SpecialTokens(
            imagePad = id("image_pad"),
            videoPad = id("video_pad"),
            visionStart = id("vision_start"),
            visionEnd = id("vision_end"),
            eos = listOf(id("im_end"), id("endoftext")),
            imEnd = id("im_end"),
        )
    }
}
