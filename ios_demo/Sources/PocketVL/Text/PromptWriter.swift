/// Token ids of a prompt as it is written: special tokens by name, and ordinary text between them.
///
/// Neighbouring texts are encoded as one, as a single string would be. What a text holds never becomes a special token.
struct PromptWriter {
    private let tokenizer: Tokenizer
    private let special: SpecialTokens
    private var mediaTokens: ArraySlice<Int>
    private var ids: [Int] = []
    private var pending = ""

    /// `mediaTokens`: placeholders of each image or video of `messages` in order. Throws ``PocketVLError/prompt(_:)``
    /// where there are not as many.
    init(
        _ tokenizer: Tokenizer, _ special: SpecialTokens, _ messages: [Message], _ mediaTokens: [Int]
    ) throws(PocketVLError) {
        let media = messages.media.count
        if media != mediaTokens.count {
            throw .prompt(
                "The messages hold \(media) images and videos, but sizes were given for \(mediaTokens.count); give one"
                    + " for each.")
        }
        if mediaTokens.contains(where: { $0 < 1 }) {
            throw .prompt("An image has at least one token, but sizes were given as \(mediaTokens).")
        }
        self.tokenizer = tokenizer
        self.special = special
        self.mediaTokens = mediaTokens[...]
    }

    mutating func text(_ text: String) { pending += text }

    /// Throws ``PocketVLError/prompt(_:)`` if the tokenizer has no such token.
    mutating func token(_ name: String) throws(PocketVLError) {
        guard let id = tokenizer.tokenID(name) else {
            throw .prompt("This bundle's tokenizer has no \(name); say it in plain text.")
        }
        flush()
        ids.append(id)
    }

    /// Anything but what a template itself says.
    mutating func part(_ part: Part) throws(PocketVLError) {
        switch part {
        case .text(let text): self.text(text)
        case .objectRef(let name): try marked("object_ref", name)
        case .shape(let shape): try marked(shape.kind.rawValue, shape.markup)
        case .image: media(special.imagePad)
        case .video: media(special.videoPad)
        case .call: break  // calls of tools are text by now
        }
    }

    /// Throws ``PocketVLError/prompt(_:)`` if there is nothing.
    mutating func finish() throws(PocketVLError) -> [Int] {
        flush()
        if ids.isEmpty {
            throw .prompt("These messages make an empty prompt, to which there is no answer; say something.")
        }
        return ids
    }

    private mutating func marked(_ name: String, _ text: String) throws(PocketVLError) {
        try token("<|\(name)_start|>")
        self.text(text)
        try token("<|\(name)_end|>")
    }

    private mutating func media(_ pad: Int) {
        flush()
        ids.append(special.visionStart)
        ids += repeatElement(pad, count: mediaTokens.popFirst() ?? 0)
        ids.append(special.visionEnd)
    }

    private mutating func flush() {
        ids += tokenizer.encode(pending)
        pending = ""
    }
}
