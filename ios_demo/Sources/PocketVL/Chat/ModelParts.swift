/// What all chats of one model share.
final class ModelParts: Sendable {
    let manifest: Manifest
    let engine: Engine
    let tokenizer: Tokenizer
    /// nil for a base model.
    let template: ChatTemplate?
    let table: EmbeddingMap
    /// Ids that are not drawn.
    let never: Set<Int>

    /// Throws ``PocketVLError/bundle(_:)``, ``PocketVLError/prompt(_:)``.
    init(_ bundle: ModelBundle, _ engine: Engine) throws(PocketVLError) {
        manifest = bundle.manifest
        self.engine = engine
        tokenizer = try Tokenizer(bundle.file(Names.tokenizerFile))
        template = manifest.chat ? try ChatTemplate(bundle.file(Names.chatTemplateFile)) : nil
        table = try EmbeddingMap(bundle.file(manifest.tokenEmbedding.file), manifest.tokenEmbedding)
        never = try tokenizer.check(manifest.specialTokens, rows: manifest.geometry.text.vocabSize)
    }
}
