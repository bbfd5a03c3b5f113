import Foundation
import Testing

@testable import PocketVL

/// Saved conversations that are damaged or forged are refused, and nothing of them is taken.
@Suite struct SavedChatRefusalsTests {
    private let chats: Chats
    private let model: Model

    init() throws {
        chats = try Chats()
        chats.fake.text.eos = nil  // so that every answer has all its tokens
        model = try chats.model()
    }

    private var file: URL { chats.file("saved") }

    @Test("another bundle's chat is refused, and so is what the engine does not take")
    func other() async throws {
        try await save()
        let records = try chats.manifest.files.map {
            try FileRecord(path: $0.path, size: $0.size, sha256: String(repeating: "0", count: 64))
        }
        for manifest in [chats.manifest.with(target: "onnx"), chats.manifest.with(files: records)] {
            let refused = try refusal { _ = try SavedChat.read(file, manifest) }
            #expect(refused?.message.contains("another bundle") == true)
        }
        let read = try TensorFile.read(file, mostData: 1 << 30)
        let more = try #require(read.tensors.first { $0.name == "cache.states" }).tensor
        try TensorFile(texts: read.texts, tensors: read.tensors + [.init(name: "cache.more", tensor: more)]).write(file)
        let refused = try await refusal { _ = try await model.loadChat(file) }
        #expect(refused?.message.contains("not those of this model") == true)
        #expect(chats.fake.text.cache.count == 0)
    }

    @Test("what does not fit together is refused, even with a sound hash")
    func forged() async throws {
        try await save()
        let sound = try TensorFile.read(file, mostData: 1 << 30)
        let conversation = try JSON.parse(try #require(sound[text: "conversation"]))
        let cases: [([Any], String)] = [
            (["version"], "2"), (["version"], #""1""#), (["more"], "1"), (["messages", 0, "role"], #""tool""#),
            (["messages", 1, "parts"], "[]"), (["messages", 1, "parts", 0, "type"], #""text""#),
            (["messages", 1, "parts", 0, "type"], #""audio""#),
            (["messages", 3, "parts", 2, "numbers"], "[0, 0, 5000, 1]"),
            (["messages", 3, "parts", 2, "numbers"], "[0, 0, 5]"), (["tools"], #""{}""#), (["tools"], #""[""#),
            (["tools"], #""[{\"name\": \"a b\", \"description\": \"\", \"parameters\": {\"type\": \"object\"}}]""#),
            (["turns"], "[]"), (["turns", 0, "slots"], "3"), (["turns", 1, "slots"], "-3"),
            (["turns", 1, "slots"], "8"),
            (["turns", 1, "messages"], "2"), (["turns", 2, "messages"], "1152921504606846976"),
            (["turns", 2, "slots"], "9223372036854775807"), (["turns", 1, "answer_start"], "9223372036854775807"),
            (["turns", 2, "image_sizes"], "0"), (["image_sizes"], "[[84, 84]]"), (["image_sizes", 0], "[0, 84]"),
            (["images", 0, "grid"], "[1, 6, 7]"), (["images", 0, "grid"], "[1, 6]"),
            (["images", 0, "grid"], "[2, 1000000000, 1000000000]"),
            (["images", 0, "grid"], "[9223372036854775807, 9223372036854775806, 9223372036854775806]"),
            (["images", 0, "key"], #""""#), (["images", 1, "key"], "\"" + String(repeating: "a", count: 1000) + "\""),
            (["media", 0], "7"), (["media", 0], "-1"), (["media"], "[0, 1, 0]"), (["cached_slots"], "0"),
            (["cached_slots"], "9223372036854775807"), (["options", "max_pixels"], #""x""#), (["options"], "null"),
        ]
        for (keys, json) in cases {
            let changed = put(conversation, keys[...], try JSON.parse(json))
            let text = try #require(changed.written())
            try TensorFile(texts: [("conversation", text)], tensors: sound.tensors).write(file)
            guard case .conversation = try await refusal({ _ = try await model.loadChat(file) }) else {
                Issue.record("\(keys) was taken as \(json)")
                continue
            }
        }
        let firsts = ["token_ids": [-1, 1 << 40, 5000], "positions": [7, -1, .min], "media": [0, -2, .max]]
        for (name, values) in firsts {
            for first in values {
                let tensors = sound.tensors.map { named -> TensorFile.Named in
                    guard named.name == name else { return named }
                    let start = withUnsafeBytes(of: Int64(first).littleEndian, Array.init)
                    let own = named.tensor
                    return .init(
                        name: name,
                        tensor: CacheTensor(dtype: own.dtype, shape: own.shape, bytes: start + own.bytes.dropFirst(8)))
                }
                try TensorFile(texts: sound.texts, tensors: tensors).write(file)
                let refused = try await refusal { _ = try await model.loadChat(file) }
                #expect(refused != nil, "\(name) begins with \(first)")
            }
        }
        try sound.write(file)
        _ = try await model.loadChat(file)
    }

    @Test("damage anywhere is found by the hash")
    func damaged() async throws {
        try await save()
        let sound = Array(try Data(contentsOf: file))
        for place in stride(from: 0, to: sound.count, by: 97) {
            var bytes = sound
            bytes[place] ^= 4
            try Data(bytes).write(to: file)
            #expect(try refusal { _ = try SavedChat.read(file, chats.manifest) }?.message.contains("damaged") == true)
            try Data(sound[..<place]).write(to: file)
            #expect(try refusal { _ = try SavedChat.read(file, chats.manifest) } != nil)
        }
        try Data(sound + [0]).write(to: file)
        #expect(try refusal { _ = try SavedChat.read(file, chats.manifest) } != nil)
    }

    /// POCKETVL_MUTATIONS=100000 for more than a few, POCKETVL_SEED for others.
    @Test("random damage is refused by name, the hash made sound again")
    func mutations() async throws {
        try await save()
        let environment = ProcessInfo.processInfo.environment
        let count = environment["POCKETVL_MUTATIONS"].flatMap(Int.init) ?? 300
        var random = Seeded(environment["POCKETVL_SEED"].flatMap(UInt64.init) ?? 0)
        let whole = Array(try Data(contentsOf: file).dropLast(TensorFile.digestBytes))
        let header = whole[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
        let letters = Array("0123456789-\"{}[],:e".utf8)
        var accepted = 0
        for _ in 0..<count {
            var bytes = whole
            for _ in 0..<Int.random(in: 1..<4, using: &random) {
                // Mostly in the header, where the meaning is.
                let most =
                    Int.random(in: 0..<4, using: &random) == 0 ? bytes.count : min(bytes.count, 8 + header + 2000)
                let place = Int.random(in: 0..<most, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes.removeSubrange(place..<min(bytes.count, place + 8))
                case 1: bytes[place] = letters[Int.random(in: 0..<letters.count, using: &random)]
                default: bytes[place] = .random(in: 0...255, using: &random)
                }
            }
            var digest = Digest()
            bytes.withUnsafeBytes { digest.update($0) }
            try Data(bytes + digest.bytes()).write(to: file)
            do {
                _ = try SavedChat.read(file, chats.manifest)
                accepted += 1  // other letters of a message or a key: nothing that could be known
            } catch {
                guard case .conversation = error else {
                    Issue.record("\(error)")
                    return
                }
            }
        }
        print("\(accepted) of \(count) mutations were read")
        #expect(accepted < count / 2)
    }

    private func save() async throws {
        let chat = try model.chat(ChatOptions(system: "Be brief."))
        _ = try await chat.ask(about(1), tokens(4)).answer()
        let box = try Shape(.box, [0, 0, 42, 42], unit: .pixels(image: nil))
        _ = try await chat.ask(about(2) + [.shape(box)], tokens(3)).answer()
        try await chat.save(to: file)
    }

    private func put(_ value: JSON, _ keys: ArraySlice<Any>, _ new: JSON) -> JSON {
        guard let key = keys.first else { return new }
        let rest = keys.dropFirst()
        if let index = key as? Int, var items = value.asArray {
            items[index] = put(items[index], rest, new)
            return .array(items)
        }
        guard let name = key as? String, var object = value.asObject else { return new }
        object[name] = put(object[name] ?? .null, rest, new)
        return .object(object)
    }
}
