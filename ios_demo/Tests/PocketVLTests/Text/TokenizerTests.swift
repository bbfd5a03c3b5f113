import Foundation
import Testing

@testable import PocketVL

/// The tiny model's, read once.
enum Tiny {
    static let tokenizer = Result { try Tokenizer(checkpoint.appendingPathComponent("tokenizer.json")) }

    static let special = SpecialTokens(
        imagePad: 1022, videoPad: 1023, visionStart: 1019, visionEnd: 1020, eos: [1012, 1010], imEnd: 1012)
}

@Suite struct TokenizerTests {
    @Test("the tokenizer is the one that the goldens are of")
    func sameFile() throws {
        let bytes = Array(try Data(contentsOf: checkpoint.appendingPathComponent("tokenizer.json")))
        for name in ["prompts", "tokenizer_strings", "tokenizer_samples"] {
            #expect(try Digest.hex(of: bytes) == Golden.read(name)["tokenizer_sha256"].string)
        }
    }

    @Test("texts have the golden ids")
    func strings() throws {
        let tokenizer = try Tiny.tokenizer.get()
        for one in try Golden.read("tokenizer_strings")["cases"].items {
            #expect(try tokenizer.encode(one["text"].string) == one["ids"].ints, "\(one["text"])")
        }
    }

    @Test("2,000 random texts have the ids that the tokenizers library gives them")
    func samples() throws {
        let tokenizer = try Tiny.tokenizer.get()
        let cases = try Golden.read("tokenizer_samples")["cases"].items
        #expect(cases.count == 2000)
        for one in cases {
            let text = try one["text"].string
            let plain = tokenizer.encode(text)
            #expect(try [plain.count, checksum(plain)] == one["plain"].ints, "\(text.quoted)")
            let marked = tokenizer.encodeTemplate(text)
            let expected = one["marked"] == .null ? one["plain"] : one["marked"]
            #expect(try [marked.count, checksum(marked)] == expected.ints, "\(text.quoted)")
        }
    }

    @Test("pieces of an answer never split a character")
    func streams() throws {
        let tokenizer = try Tiny.tokenizer.get()
        for one in try Golden.read("prompts")["streams"].items {
            var stream = tokenizer.stream()
            #expect(try one["ids"].ints.map { stream.push($0) } == one["pieces"].strings)
        }
    }

    @Test("form C joins the letters of every Hangul syllable, whatever follows")
    func hangul() {
        for (text, expected) in [
            ("\u{D55C}\u{AD6D}\u{C5B4}\u{11B9}\u{10BAC}", "\u{D55C}\u{AD6D}\u{C5C6}\u{10BAC}"),
            ("\u{110B}\u{1165}\u{11B9}", "\u{C5C6}"), ("\u{C5B4}\u{11A7}", "\u{C5B4}\u{11A7}"),
            ("\u{C5C6}\u{11B9}", "\u{C5C6}\u{11B9}"), ("\u{C5B4}\u{11A8}\u{FE21}", "\u{C5B5}\u{FE21}"),
        ] {
            #expect(NFC.normalized(text) == Array(expected.unicodeScalars), "\(text.quoted)")
        }
    }

    @Test("what is no UTF-8 becomes one U+FFFD for each maximal subpart")
    func replacement() {
        let cases: [([UInt8], String)] = [
            ([0xE2, 0x82, 0x41], "\u{FFFD}A"), ([0xF0, 0x9F, 0x98, 0x80], "😀"),
            ([0xED, 0xA0, 0x80], "\u{FFFD}\u{FFFD}\u{FFFD}"),
            ([0xC0, 0x80], "\u{FFFD}\u{FFFD}"), ([0xF4, 0x90, 0x80], "\u{FFFD}\u{FFFD}\u{FFFD}"),
            ([0xF0, 0x9F, 0x98], "\u{FFFD}"),
        ]
        for (bytes, expected) in cases {
            var decoder = UTF8Decoder()
            let text = decoder.decode(bytes) + decoder.finish()
            #expect(text == expected)
            var single = UTF8Decoder()
            #expect(bytes.map { single.decode([$0]) }.joined() + single.finish() == expected)
        }
    }

    @Test("control tokens and vocabulary must be the manifest's")
    func check() throws {
        let tokenizer = try Tiny.tokenizer.get()
        #expect(try tokenizer.check(Tiny.special, rows: 1024).isEmpty)
        #expect(try tokenizer.check(Tiny.special, rows: 1030) == Set(1024..<1030))
        #expect(try refusal { _ = try tokenizer.check(Tiny.special, rows: 1000) }?.isBundle == true)
        let wrong = SpecialTokens(
            imagePad: 1, videoPad: 1023, visionStart: 1019, visionEnd: 1020, eos: [1012], imEnd: nil)
        #expect(try refusal { _ = try tokenizer.check(wrong, rows: 1024) }?.isBundle == true)
        let eos = SpecialTokens(
            imagePad: 1022, videoPad: 1023, visionStart: 1019, visionEnd: 1020, eos: [5], imEnd: nil)
        #expect(try refusal { _ = try tokenizer.check(eos, rows: 1024) }?.isBundle == true)
    }

    @Test("a tokenizer of another kind is refused")
    func otherKinds() throws {
        let whole = try JSON.parse(bytes: Array(Data(contentsOf: checkpoint.appendingPathComponent("tokenizer.json"))))
        var root = try #require(whole.asObject)
        let folder = try TemporaryFolder()
        func refused(_ change: (inout JSONObject) throws -> Void) throws -> Bool {
            var changed = root
            try change(&changed)
            let text = try #require(JSON.object(changed).written())
            let file = try folder.write("tokenizer.json", Array(text.utf8))
            return try refusal { _ = try Tokenizer(file) }?.isBundle ?? false
        }
        #expect(try !refused { _ in })
        #expect(try refused { $0["normalizer"] = .object(JSONObject([("type", .string("NFKC"))])) })
        #expect(try refused { $0["pre_tokenizer"] = .null })
        #expect(try refused { $0["decoder"] = nil })
        #expect(try refused { $0["odd"] = .null })
        #expect(try refused { $0["version"] = .string("2.0") })
        #expect(try refused { $0["model"] = nil })
        let model = try #require(root["model"]?.asObject)
        func changedModel(_ key: String, _ value: JSON?) -> JSON {
            var changed = model
            changed[key] = value
            return .object(changed)
        }
        #expect(try refused { $0["model"] = changedModel("byte_fallback", .bool(true)) })
        #expect(try refused { $0["model"] = changedModel("merges", nil) })
        #expect(try refused { $0["model"] = changedModel("vocab", .object(JSONObject([("a", .integer(0))]))) })
        #expect(try refused { $0["model"] = changedModel("merges", .array([.string("a \u{2603}")])) })
        #expect(try refused { $0["model"] = changedModel("merges", .array([.string("t h"), .string("t h")])) })
        root["added_tokens"] = .array([.object(JSONObject([("id", .integer(1))]))])
        #expect(try refused { _ in })
        let missing = folder.url.appendingPathComponent("none.json")
        #expect(try refusal { _ = try Tokenizer(missing) }?.isBundle == true)
        let text = try folder.write("text.json", Array("[1, 2".utf8))
        #expect(try refusal { _ = try Tokenizer(text) }?.isBundle == true)
    }
}
