/// Messages to token ids: the family's chat template, with images as runs of placeholder tokens.
///
/// What a user writes never becomes a special token: <|im_start|> in a text is encoded as the ordinary text it is, all
/// other text gets exactly the ids that encoding the rendered template as a whole gives.
///
/// Without a template (a base model) a prompt is a completion: texts and images one after the other, roles without a
/// meaning.
public struct PromptEncoder: Sendable {
    private static let marks = ["im_start", "im_end", "vision_start", "vision_end", "image_pad", "video_pad"]
        .map { "<|\($0)|>" }

    private let tokenizer: Tokenizer
    private let special: SpecialTokens
    private let template: ChatTemplate?
    private let addVisionID: Bool

    /// `addVisionID` numbers the images as "Picture 1: "; throws ``PocketVLError/prompt(_:)`` if there is no template,
    /// or if an added token of the tokenizer could begin in the template's own words.
    public init(
        _ tokenizer: Tokenizer, _ special: SpecialTokens, _ template: ChatTemplate?, addVisionID: Bool = false
    ) throws(PocketVLError) {
        self.tokenizer = tokenizer
        self.special = special
        self.template = template
        self.addVisionID = addVisionID
        guard template != nil else {
            if addVisionID {
                throw .prompt("This bundle's chat template cannot number images; leave out addVisionID.")
            }
            return
        }
        let odd = tokenizer.addedTexts.first { text in
            text.utf8.first != UInt8(ascii: "<")
                || Self.marks.contains { !$0.isExactly(text) && text.utf8.starts(with: $0.utf8) }
        }
        if let odd {
            throw .prompt(
                "This bundle's tokenizer has the added token \(odd.quoted), which the chat template could write by"
                    + " chance; export the bundle from a Qwen2-VL checkpoint.")
        }
    }

    /// Ids of a whole conversation; `answerNext` opens the assistant's turn at the end.
    ///
    /// - Parameter mediaTokens: for each image or clip in order, its number of tokens. Shapes must be in thousandths.
    /// - Throws: ``PocketVLError/prompt(_:)``, also where nothing is left to answer.
    public func encode(
        _ messages: [Message], mediaTokens: [Int], answerNext: Bool = true
    ) throws(PocketVLError) -> [Int] {
        var out = try PromptWriter(tokenizer, special, messages, mediaTokens)
        guard let template else { return try completed(messages, &out) }
        var numbers = ChatTemplate.Numbers(isUsed: addVisionID)
        try template.begin(messages, &out)
        for message in messages { try template.message(message, &numbers, &out) }
        if answerNext && !goesOn(messages) { try template.open(.assistant, &out) }
        return try out.finish()
    }

    /// Ids that follow the last answer's own ids when `following` is appended to `history`.
    ///
    /// `history` ends with that answer, whose text and ids are in the KV cache already without the token that closed
    /// it: the ids returned begin with closing it and end with opening the next answer. They are the tail of
    /// encode(history + following). A message of the assistant as the first of `following` goes on in that answer's
    /// turn. `mediaTokens` is for `following` alone. Throws ``PocketVLError/prompt(_:)`` if history does not end with
    /// an answer.
    public func encodeContinuation(
        history: [Message], following: [Message], mediaTokens: [Int]
    ) throws(PocketVLError) -> [Int] {
        guard history.last?.role == .assistant else {
            throw .prompt("A conversation continues after an answer; start with the whole of it instead.")
        }
        var out = try PromptWriter(tokenizer, special, following, mediaTokens)
        guard let template else { return try completed(following, &out) }
        if history.count == 1 {
            throw .prompt(
                "The chat template writes earlier turns differently once a new one follows; encode the whole"
                    + " conversation again.")
        }
        var numbers = ChatTemplate.Numbers(isUsed: addVisionID)
        for part in Array(history.dropLast()).media { _ = numbers.next(part) }
        var turns = following[...]
        if let goingOn = following.first, goingOn.role == .assistant {
            turns = turns.dropFirst()
            try template.content(goingOn, &numbers, &out)
            if !goingOn.goesOn { try template.close(&out) }
        } else {
            try template.close(&out)
        }
        for message in turns { try template.message(message, &numbers, &out) }
        if !goesOn(following) { try template.open(.assistant, &out) }
        return try out.finish()
    }

    private func completed(_ messages: [Message], _ out: inout PromptWriter) throws(PocketVLError) -> [Int] {
        for message in messages {
            if message.goesOn {
                throw .prompt("A model without a chat template calls no tools; leave out calls and results.")
            }
            for part in message.parts { try out.part(part) }
        }
        return try out.finish()
    }

    private func goesOn(_ messages: [Message]) -> Bool { messages.last?.goesOn ?? false }
}
