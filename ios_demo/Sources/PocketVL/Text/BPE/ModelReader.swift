/// Reads the member "model" of a tokenizer.json, token by token.
struct ModelReader {
    /// Above any vocabulary's.
    static let maxTokens = 1 << 20

    /// Values with which merging is what ``BPE`` does.
    private static let usual: [String: [JSON]] = [
        "type": [.string("BPE")],
        "dropout": [.null, .double(0), .integer(0)],
        "unk_token": [.null],
        "continuing_subword_prefix": [.null, .string("")],
        "end_of_word_suffix": [.null, .string("")],
        "fuse_unk": [.bool(false), .bool(true)],
        "byte_fallback": [.bool(false)],
        "ignore_merges": [.bool(false)],
    ]

    private var vocabulary: Vocabulary?
    private var merges: MergeTable?

    mutating func read(_ reader: inout JSONReader) throws(JSONError) -> BPE {
        var seen = Set<Exact>()
        var found = self
        try reader.members { (reader, key) throws(JSONError) in
            let name = String(decoding: key, as: UTF8.self)
            if !seen.insert(Exact(name)).inserted { throw reader.fail("the key \(name.quoted) is there twice") }
            switch name {
            case "vocab": found.vocabulary = try Self.vocabulary(&reader)
            case "merges":
                guard let vocabulary = found.vocabulary else {
                    throw reader.fail("its merges stand before its vocab")
                }
                found.merges = try Self.merges(&reader, vocabulary)
            default:
                let value = try reader.value()
                if !(Self.usual[name]?.contains(value) ?? false) {
                    throw reader.fail("its model's \(name.quoted) is \(value.shown)")
                }
            }
        }
        guard let vocabulary = found.vocabulary, let merges = found.merges else {
            throw reader.fail("its model has no vocab or no merges")
        }
        var byteIDs: [Int] = []
        for byte in UInt8.min...UInt8.max {
            guard let id = vocabulary.find([byte]) else { throw reader.fail("it has no token for the byte \(byte)") }
            byteIDs.append(id)
        }
        return BPE(vocabulary: vocabulary, merges: merges, byteIDs: byteIDs)
    }

    private static func vocabulary(_ reader: inout JSONReader) throws(JSONError) -> Vocabulary {
        var vocabulary = Vocabulary()
        try reader.members { (reader, key) throws(JSONError) in
            guard let bytes = ByteAlphabet.decoded(key), !bytes.isEmpty else {
                throw reader.fail("a token is not written in bytes' characters")
            }
            guard let id = try reader.value().asInteger, (0..<maxTokens).contains(id) else {
                throw reader.fail("a token has no id below \(maxTokens)")
            }
            if !vocabulary.add(bytes[...], id: id) { throw reader.fail("the token \(id) is there twice") }
        }
        return vocabulary
    }

    /// Pairs as "a b" or ["a", "b"].
    private static func merges(
        _ reader: inout JSONReader, _ vocabulary: Vocabulary
    ) throws(JSONError) -> MergeTable {
        var merges = MergeTable()
        merges.reserveCapacity(vocabulary.count)
        try reader.elements { (reader) throws(JSONError) in
            var parts: [[UInt8]] = []
            if reader.isAtArray {
                try reader.elements { (reader) throws(JSONError) in parts.append(try reader.stringBytes()) }
            } else {
                let both = try reader.stringBytes()
                parts = both.split(separator: 0x20, maxSplits: 1, omittingEmptySubsequences: false).map(Array.init)
            }
            guard parts.count == 2, let left = ByteAlphabet.decoded(parts[0]),
                let right = ByteAlphabet.decoded(parts[1]), let first = vocabulary.find(left[...]),
                let second = vocabulary.find(right[...]), let result = vocabulary.find((left + right)[...])
            else { throw reader.fail("the merge \(merges.count) is not of two tokens that make one") }
            if !merges.add(first, second, becomes: result) {
                throw reader.fail("the merge of the tokens \(first) and \(second) is there twice")
            }
        }
        return merges
    }
}
