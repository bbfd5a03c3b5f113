import Foundation

/// A token that a vocabulary of words does not make: <|im_start|>.
struct AddedToken: Sendable, Equatable {
    let id: Int
    let text: String
    /// Whether decoding leaves it out.
    let isSpecial: Bool
}

/// What a tokenizer.json of this family says: NFC or nothing, Qwen2's words, byte-level BPE, added tokens.
///
/// All else is refused in a sentence that names it, as is a file of more than 64 MiB or a token id from 2^20 on.
/// Truncation, padding and the post-processor are left aside: a prompt has its own length and its own special tokens.
struct TokenizerFile: Sendable {
    let bpe: BPE
    let added: [AddedToken]
    /// Whether a text is normalized to form C.
    let normalizes: Bool
    let words: WordSplitter

    private static let maxBytes = 64 << 20
    private static let known = [
        "version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder",
    ]

    /// Tokens of both kinds.
    var count: Int { bpe.vocabulary.count + added.count { !bpe.vocabulary.contains($0.id) } }

    /// Throws ``PocketVLError/bundle(_:)``.
    init(_ file: URL) throws(PocketVLError) {
        let path = file.path
        let folder = file.deletingLastPathComponent()
        let bytes = try BundleFile.bytes(of: file.lastPathComponent, in: folder, most: Self.maxBytes)
        var parts = JSONObject()
        var model: BPE?
        do {
            var reader = JSONReader(bytes)
            try reader.members { (reader, key) throws(JSONError) in
                let name = String(decoding: key, as: UTF8.self)
                if parts[name] != nil || (name == "model" && model != nil) {
                    throw reader.fail("the key \(name.quoted) is there twice")
                }
                if name == "model" {
                    var found = ModelReader()
                    model = try found.read(&reader)
                } else {
                    parts[name] = try reader.value()
                }
            }
            try reader.finish()
        } catch {
            throw Self.unreadable(path, error.message)
        }
        if let odd = parts.members.first(where: { !Self.known.contains($0.key) }) {
            throw Self.unreadable(path, "the key \(odd.key.quoted) is not known")
        }
        guard let model else { throw Self.unreadable(path, "it has no model") }
        if let version = parts["version"], version != .string("1.0") {
            throw Self.unsupported(path, "version", version)
        }
        let decoder = parts["decoder"] ?? .null
        if decoder.asObject?["type"] != .string("ByteLevel") { throw Self.unsupported(path, "decoder", decoder) }
        bpe = model
        normalizes = try Self.normalizes(parts["normalizer"] ?? .null, path)
        words = try Self.words(parts["pre_tokenizer"] ?? .null, path)
        added = try Self.added(parts["added_tokens"] ?? .null, model.vocabulary, path)
    }

    private static func normalizes(_ value: JSON, _ path: String) throws(PocketVLError) -> Bool {
        if value == .null { return false }
        if value == .object(JSONObject([("type", .string("NFC"))])) { return true }
        throw unsupported(path, "normalizer", value)
    }

    private static func words(_ value: JSON, _ path: String) throws(PocketVLError) -> WordSplitter {
        let sequence = value.asObject
        guard sequence?["type"] == .string("Sequence"), let steps = sequence?["pretokenizers"]?.asArray,
            steps.count == 2,
            steps[1].says(["type": .string("ByteLevel"), "add_prefix_space": .bool(false)])
        else { throw unsupported(path, "pre_tokenizer", value) }
        let usesRegex = steps[1].asObject?["use_regex"]
        let pattern = JSON.object(JSONObject([("Regex", .string(WordSplitter.qwenPattern))]))
        let isQwen = steps[0].says([
            "type": .string("Split"), "pattern": pattern, "behavior": .string("Isolated"), "invert": .bool(false),
        ])
        if isQwen && usesRegex == .bool(false) { return .qwen }
        let isDigits = steps[0].says(["type": .string("Digits"), "individual_digits": .bool(true)])
        if isDigits && usesRegex == .bool(true) { return .gpt2 }
        throw unsupported(path, "pre_tokenizer", value)
    }

    /// Each has the id that the library gives it: its own in the vocabulary, else the next after all before.
    private static func added(
        _ value: JSON, _ vocabulary: Vocabulary, _ path: String
    ) throws(PocketVLError) -> [AddedToken] {
        if value == .null { return [] }
        guard let items = value.asArray else { throw unreadable(path, "added_tokens is no list") }
        var tokens: [AddedToken] = []
        var texts = Set<Exact>()
        var next = vocabulary.count
        for item in items {
            let token = try addedToken(item, path)
            if !texts.insert(Exact(token.text)).inserted {
                throw unreadable(path, "the added token \(token.text.quoted) is there twice")
            }
            let isOwn = vocabulary.bytes(token.id)?.elementsEqual(token.text.utf8) ?? false
            if !isOwn && token.id != next {
                throw unreadable(
                    path, "the added token \(token.text.quoted) has the id \(token.id), not the next, \(next)")
            }
            if !isOwn { next += 1 }
            tokens.append(token)
        }
        if next > vocabulary.count && vocabulary.end > vocabulary.count {
            throw unreadable(path, "the ids of its vocabulary have gaps")
        }
        return tokens
    }

    private static func addedToken(_ item: JSON, _ path: String) throws(PocketVLError) -> AddedToken {
        guard let members = item.asObject, let id = members["id"]?.asInteger, let text = members["content"]?.asString,
            (0..<ModelReader.maxTokens).contains(id), !text.isEmpty
        else { throw unreadable(path, "an added token has no id or content that can be") }
        for flag in ["lstrip", "rstrip", "single_word", "normalized", "special"] {
            guard let isSet = members[flag]?.asBool else {
                throw unreadable(path, "the added token \(text.quoted) does not say \(flag)")
            }
            if isSet && flag != "normalized" && flag != "special" {
                throw .bundle(
                    "The added token \(text.quoted) of \(path) strips the text around it, which no token of Qwen2-VL"
                        + " does; export the bundle from a Qwen2-VL checkpoint.")
            }
        }
        return AddedToken(id: id, text: text, isSpecial: members["special"] == .bool(true))
    }

    private static func unreadable(_ path: String, _ why: String) -> PocketVLError {
        .bundle("\(path) is no readable tokenizer (\(why)); copy or export the bundle again.")
    }

    private static func unsupported(_ path: String, _ what: String, _ value: JSON) -> PocketVLError {
        .bundle(
            "\(path) is not a byte-level BPE tokenizer as Qwen2-VL has (its \(what) is \(value.shown)); export from a"
                + " Qwen2-VL checkpoint.")
    }
}

extension JSON {
    /// Whether it is an object of these members; trim_offsets, which tells nothing about ids, may be there, too, as may
    /// use_regex, which is asked for by itself.
    fileprivate func says(_ members: [String: JSON]) -> Bool {
        guard let object = asObject else { return false }
        let others = object.members.filter { !["trim_offsets", "use_regex"].contains($0.key) }
        return others.count == members.count && others.allSatisfy { members[$0.key] == $0.value }
    }
}
