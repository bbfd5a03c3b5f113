import Foundation
import Testing

@testable import PocketVL

/// Damaged files: whatever is in them, an error is thrown or they are read, and nothing traps. See ``Damage/count``.
@Suite struct FileFuzzTests {
    @Test("damaged manifests give errors of the bundle alone", arguments: ["onnx", "executorch"])
    func manifests(target: String) throws {
        let whole = try #require(try Golden.read("manifests")["bundles"][target].written())
        var damage = Damage(seed: 1)
        var refused = 0
        for _ in 0..<Damage.count {
            guard let value = try? JSON.parse(bytes: damage.damaged(Array(whole.utf8))) else { continue }
            let error = try refusal {
                let manifest = try Manifest(value, "manifest.json")
                _ = EntryPoints.fault(manifest)
            }
            if error != nil { refused += 1 }
            #expect(error == nil || error?.isBundle == true)
        }
        print("\(refused) of \(Damage.count) manifests refused for what they say")
        #expect(refused > Damage.count / 10)
    }

    @Test("damaged tokenizers give errors of the bundle, or ids for any text")
    func tokenizers() throws {
        let small = try Self.small()
        let whole = Array(try Data(contentsOf: checkpoint.appendingPathComponent("tokenizer.json")))
        let folder = try TemporaryFolder()
        _ = try Tokenizer(folder.write("tokenizer.json", small))
        var damage = Damage(seed: 2)
        var refused = 0
        for round in 0..<Damage.count {
            let bytes = damage.damaged(round % 20 == 0 ? whole : small)
            let file = try folder.write("tokenizer.json", bytes)
            var tokenizer: Tokenizer?
            let error = try refusal { tokenizer = try Tokenizer(file) }
            #expect(error == nil || error?.isBundle == true)
            if error != nil { refused += 1 }
            guard let tokenizer else { continue }
            let text = "Hello <|im_start|> e\u{301} 日本語 🙂\r\n" + damage.text()
            _ = tokenizer.decode(tokenizer.encodeTemplate(text) + tokenizer.encode(text) + [-1, .max])
        }
        print("\(refused) of \(Damage.count) tokenizers refused")
        #expect(refused > Damage.count / 10 && refused < Damage.count)
    }

    @Test("damaged JSON is refused, or read as what it would be written as")
    func json() throws {
        let whole = Array(
            #"{"a": [1, -2.5e3, {"b": "\u00e9\n", "c": null}], "way": "up", "n": 12345678901234567890, "t": [true, []]}"#
                .utf8)
        var damage = Damage(seed: 4)
        var refused = 0
        for _ in 0..<Damage.count {
            let bytes = damage.damaged(whole)
            guard let value = try? JSON.parse(bytes: bytes) else {
                refused += 1
                continue
            }
            let text = try #require(value.written())
            #expect(try JSON.parse(text) == value)
            #expect(try JSON.parse(JSONText.write(value)) == value)
        }
        print("\(refused) of \(Damage.count) JSON texts refused")
        #expect(refused > Damage.count / 10 && refused < Damage.count)
        for depth in [JSON.maxDepth - 1, JSON.maxDepth, JSON.maxDepth + 1, 100_000] {  // the outermost is at 0
            let text = String(repeating: "[", count: depth + 1) + String(repeating: "]", count: depth + 1)
            #expect(((try? JSON.parse(text)) != nil) == (depth <= JSON.maxDepth))
        }
    }

    /// The tiny tokenizer with a vocabulary of the 256 bytes and a few merges, so that damage hits what has a meaning.
    private static func small() throws -> [UInt8] {
        let file = checkpoint.appendingPathComponent("tokenizer.json")
        var root = try #require(try JSON.parse(bytes: Array(Data(contentsOf: file))).asObject)
        var model = try #require(root["model"]?.asObject)
        let merges = try #require(model["merges"]?.asArray)
        let words = try #require(model["vocab"]?.asObject).members
        let added = try #require(root["added_tokens"]?.asArray).prefix(3).enumerated().map { index, token in
            var token = token.asObject ?? JSONObject()
            token["id"] = .integer(Int64(256 + 8 + index))
            return JSON.object(token)
        }
        model["merges"] = .array(Array(merges.prefix(8)))
        model["vocab"] = .object(
            JSONObject(words.filter { ($0.value.asInteger ?? 0) < 264 }.map { ($0.key, $0.value) }))
        root["model"] = .object(model)
        root["added_tokens"] = .array(added)
        return Array(try #require(JSON.object(root).written()).utf8)
    }
}
