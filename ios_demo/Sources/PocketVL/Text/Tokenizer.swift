import Foundation

/// Text to token ids and back, with tokenizer.json of a bundle.
///
/// Special tokens are found by ``encodeTemplate(_:)`` alone, so that it is always clear which text may hold them: a
/// template's may, a user's may not. Byte-level BPE only: a token stands for bytes. For any thread.
public final class Tokenizer: Sendable {
    private let path: String
    private let model: TokenizerFile
    private let ids: [Exact: Int]  // of added tokens
    private let texts: [Int: [UInt8]]  // likewise
    private let longestFirst: [(bytes: [UInt8], id: Int)]
    private let cache = WordCache()

    /// Ids of special tokens, which decoding leaves out.
    public let specialIDs: Set<Int>

    /// Throws ``PocketVLError/bundle(_:)`` if the file is missing, damaged or of another kind.
    public init(_ file: URL) throws(PocketVLError) {
        path = file.path
        model = try TokenizerFile(file)
        ids = Dictionary(model.added.map { (Exact($0.text), $0.id) }) { first, _ in first }
        texts = Dictionary(model.added.map { ($0.id, Array($0.text.utf8)) }) { first, _ in first }
        longestFirst = model.added.map { (Array($0.text.utf8), $0.id) }
            .sorted { $0.0.count > $1.0.count }
        specialIDs = Set(model.added.filter(\.isSpecial).map(\.id))
    }

    /// The texts of all added tokens.
    var addedTexts: [String] { model.added.map(\.text) }

    /// The id of an added token such as <|im_end|>, nil if there is none.
    public func tokenID(_ text: String) -> Int? { ids[Exact(text)] }

    /// Whether these are the tokens of a model: its control tokens, and an id below `rows` for each.
    ///
    /// Returns ``missing(rows:)``. Throws ``PocketVLError/bundle(_:)``: a control token that is not one would be read
    /// and written as text.
    public func check(_ special: SpecialTokens, rows: Int) throws(PocketVLError) -> Set<Int> {
        var wanted: [(String, Int?)] = [
            ("<|image_pad|>", special.imagePad), ("<|video_pad|>", special.videoPad),
            ("<|vision_start|>", special.visionStart), ("<|vision_end|>", special.visionEnd),
        ]
        if let imEnd = special.imEnd {
            wanted += [("<|im_end|>", imEnd), ("<|im_start|>", tokenID("<|im_start|>"))]
        }
        for (text, id) in wanted {
            guard let id, tokenID(text) == id, specialIDs.contains(id) else {
                throw .bundle(
                    "\(path) lacks the special token \(text), or gives it another id than the manifest; copy it again"
                        + " from the model that was exported.")
            }
        }
        for id in special.eos where !specialIDs.contains(id) {
            throw .bundle(
                "\(path) has no special token \(id), which ends an answer; copy it again from the model that was"
                    + " exported.")
        }
        let missing = missing(rows: rows)
        if rows - missing.count < model.count {
            throw .bundle(
                "\(path) has tokens beyond the \(rows) embeddings of the model; copy it again from the model that was"
                    + " exported.")
        }
        return missing
    }

    /// Ids below `rows` that have no token: weights may have more rows than the vocabulary.
    public func missing(rows: Int) -> Set<Int> {
        Set((0..<max(0, rows)).filter { !model.bpe.vocabulary.contains($0) && texts[$0] == nil })
    }

    /// Ids of ordinary text; what looks like a special token becomes several ordinary ones.
    public func encode(_ text: String) -> [Int] {
        let plain = model.normalizes ? NFC.normalized(text) : Array(text.unicodeScalars)
        var found: [Int] = []
        var word: [UInt8] = []
        var start = 0
        while start < plain.count {
            let end = model.words.end(plain, start)
            word.removeAll(keepingCapacity: true)
            for scalar in plain[start..<end] { UTF8.encode(scalar).map { word.append(contentsOf: $0) } }
            found += cache.ids(word[...], model.bpe.encode)
            start = end
        }
        return found
    }

    /// Ids of a template's text: added tokens count, all between them is ordinary text.
    public func encodeTemplate(_ text: String) -> [Int] {
        let bytes = Array(text.utf8)
        var found: [Int] = []
        var start = 0
        var at = 0
        while at < bytes.count {
            guard let token = longestFirst.first(where: { bytes[at...].starts(with: $0.bytes) }) else {
                at += 1
                continue
            }
            found += encode(String(decoding: bytes[start..<at], as: UTF8.self))
            found.append(token.id)
            at += token.bytes.count
            start = at
        }
        return found + encode(String(decoding: bytes[start...], as: UTF8.self))
    }

    /// The text of some ids; bytes that are no UTF-8 become U+FFFD.
    public func decode(_ ids: [Int], skipSpecial: Bool = true) -> String {
        var stream = stream(skipSpecial: skipSpecial)
        return ids.map { stream.push($0) }.joined() + stream.finish()
    }

    /// A decoder for one answer, fed token by token.
    public func stream(skipSpecial: Bool = true) -> StreamDecoder { StreamDecoder(self, skipSpecial: skipSpecial) }

    /// UTF-8 bytes of one token, maybe part of a character. An id that the vocabulary lacks has none.
    public func tokenBytes(_ id: Int, skipSpecial: Bool = true) -> [UInt8] {
        if skipSpecial && specialIDs.contains(id) { return [] }
        return texts[id] ?? model.bpe.vocabulary.bytes(id).map(Array.init) ?? []
    }
}

/// Pieces of text as tokens arrive; a character is held back until all its bytes are there.
public struct StreamDecoder: Sendable {
    private let tokenizer: Tokenizer
    private let skipSpecial: Bool
    private var decoder = UTF8Decoder()

    init(_ tokenizer: Tokenizer, skipSpecial: Bool) {
        self.tokenizer = tokenizer
        self.skipSpecial = skipSpecial
    }

    /// The text that this token completes, maybe none.
    public mutating func push(_ id: Int) -> String {
        decoder.decode(tokenizer.tokenBytes(id, skipSpecial: skipSpecial))
    }

    /// What was held back: U+FFFD if the answer ended inside a character. Ready for another answer.
    public mutating func finish() -> String { decoder.finish() }
}
