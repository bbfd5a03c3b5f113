package dev.pocketvl.chat

import dev.pocketvl.Engine
import dev.pocketvl.Names
import dev.pocketvl.bundle.Bundle
import dev.pocketvl.bundle.Manifest
import dev.pocketvl.decoding.EmbeddingMap
import dev.pocketvl.text.ChatTemplate
import dev.pocketvl.text.Tokenizer

/** What all chats of one model share. Throws [dev.pocketvl.BundleException], [dev.pocketvl.PromptException]. */
internal class ModelParts(bundle: Bundle, val engine: Engine) {
    val manifest: Manifest = bundle.manifest
    val tokenizer = Tokenizer(bundle.file(Names.TOKENIZER_FILE))
    val template: ChatTemplate? =
        if (manifest.chat) ChatTemplate.read(bundle.file(Names.CHAT_TEMPLATE_FILE)) else null
    val table = EmbeddingMap(bundle.file(manifest.tokenEmbedding.file), manifest.tokenEmbedding)

    /** Ids that are not drawn. */
    val never: IntArray = tokenizer.check(manifest.specialTokens, manifest.geometry.text.vocabSize)
}
