import Foundation
import Testing

@testable import PocketVL

@Suite struct StorageTests {
    private let chats: Chats
    private let model: Model
    private let golden: JSON
    private let folder: TemporaryFolder

    init() throws {
        chats = try Chats()
        model = try chats.model()
        golden = try Golden.read("saved_chat")
        folder = try TemporaryFolder()
    }

    @Test("what each language wrote is read, and written as Kotlin does", arguments: ["python", "kotlin"])
    func languages(language: String) throws {
        let manifest = try goldenManifest()
        let expected = golden["expected"]
        #expect(try manifest.contentSha256 == expected["content_sha256"].string)
        let file = try folder.write("saved", golden[language].base64)
        let chat = try SavedChat.read(file, manifest)
        let last = chat.conversation
        #expect(try last.feed.tokenIDs == expected["token_ids"].ints)
        let positions = last.feed.positions
        #expect(try [positions.t, positions.h, positions.w] == expected["positions"].items.map { try $0.ints })
        #expect(try last.feed.nextPosition == expected["next_position"].int)
        #expect(try last.messages.map(plain) == expected["messages"].items)
        #expect(try chat.cache.slots == expected["cached_slots"].int)
        #expect(Set(chat.cache.tensors.keys) == ["keys", "values"])
        #expect(last.feed.media[1].embeddings[0, 1] == 0.125)
        var turns = [last]
        while let before = turns[0].before { turns.insert(before, at: 0) }
        let wanted = try expected["turns"].items
        #expect(wanted.count == turns.count)
        for (turn, found) in zip(wanted, turns) {
            #expect(try turn["slots"].int == found.feed.count)
            #expect(try turn["messages"].int == found.messages.count)
            #expect(try turn["answer_start"].int == found.answerStart)
        }
        #expect(last.tools.names == ["tap"])
        #expect(turns[0].tools.isEmpty)
        #expect(chat.options.maxPixels == 7056)
        let again = folder.url.appendingPathComponent("again")
        try chat.write(again, manifest)
        #expect(try Array(Data(contentsOf: again)) == golden["kotlin"].base64)
    }

    @Test("a restored chat goes on as the one that was saved, in another engine, too")
    func restored() async throws {
        let file = folder.url.appendingPathComponent("saved")
        let chat = try model.chat(ChatOptions(system: "Be brief.", maxPixels: 84 * 84))
        _ = try await chat.ask(about(1), tokens(4)).answer()
        let box = try Shape(.box, [0, 0, 42, 42], unit: .pixels(image: nil))
        _ = try await chat.ask(about(2) + about(1) + [.shape(box), .objectRef("sign")], tokens(3)).answer()
        try await chat.save(to: file)
        let expected = try await chat.ask("And now?", tokens(9)).answer()
        let encoded = chats.fake.vision.encoded
        for other in [model, try chats.model(chats.engine())] {
            let restored = try await other.loadChat(file)
            guard case .image(let source, _) = await restored.conversation.messages[1].parts[0] else {
                Issue.record("no image")
                return
            }
            #expect(source is EncodedImage)
            let answer = try await restored.ask("And now?", tokens(9)).answer()
            #expect(answer.tokenIDs == expected.tokenIDs)
            #expect(answer.promptTokenIDs == expected.promptTokenIDs)
            #expect(answer.statistics.reusedTokens == expected.statistics.reusedTokens)
            #expect(chats.fake.vision.encoded == encoded)
            let before = try #require(await restored.conversation.before?.before)
            try await restored.setConversation(before)
            #expect(await restored.conversation.messages.count == 3)
            try await restored.reset()
            #expect(await restored.conversation.messages.count == 1)
        }
    }

    @Test("a file is replaced or left, and nothing lies beside it")
    func replaced() async throws {
        let chat = try model.chat()
        _ = try await chat.ask("one", tokens(2)).answer()
        let file = folder.url.appendingPathComponent("saved")
        for _ in 0..<2 { try await chat.save(to: file) }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.url.path) == ["saved"])
        let nowhere = folder.url.appendingPathComponent("none/saved")
        for path in [nowhere, folder.url] {
            let refused = try await refusal { try await chat.save(to: path) }
            #expect(refused?.message.contains("cannot be saved") == true)
        }
        for path in [nowhere, folder.url, URL(fileURLWithPath: "/dev/null")] {
            guard case .conversation = try await refusal({ _ = try await model.loadChat(path) }) else {
                Issue.record("\(path) was read")
                continue
            }
        }
    }

    private func goldenManifest() throws -> Manifest {
        let data = golden["manifest"]
        func special(_ name: String) throws -> Int { try data["special_tokens"][name].int }
        let files = try #require(data["files"].asObject).members.map { member in
            try FileRecord(path: member.key, size: 1, sha256: member.value.string)
        }
        return chats.manifest.with(
            files: files, target: try data["target"].string, maxContext: try data["max_context"].int,
            specialTokens: SpecialTokens(
                imagePad: try special("image_pad"), videoPad: try special("video_pad"),
                visionStart: try special("vision_start"), visionEnd: try special("vision_end"),
                eos: [try special("im_end")], imEnd: try special("im_end")))
    }

    /// As the golden file says it.
    private func plain(_ message: Message) throws -> JSON {
        let parts = message.parts.map { part -> JSON in
            var own: [(String, JSON)]
            switch part {
            case .text(let text): own = [("type", .string("text")), ("text", .string(text))]
            case .objectRef(let text): own = [("type", .string("object_ref")), ("text", .string(text))]
            case .shape(let shape):
                own = [
                    ("type", .string(shape.kind.rawValue)), ("numbers", .array(shape.numbers.map(JSON.double))),
                ]
            case .image: own = [("type", .string("image"))]
            case .video: own = [("type", .string("video"))]
            case .call(let call): own = [("type", .string("tool_call")), ("call", plain(call))]
            }
            own = ["type", "text", "numbers", "call"].map { key in
                (key, own.first { $0.0 == key }?.1 ?? .null)
            }
            return .object(JSONObject(own))
        }
        return .object(JSONObject([("role", .string(message.role.rawValue)), ("parts", .array(parts))]))
    }

    private func plain(_ call: ToolCall) -> JSON {
        var (arguments, reason) = (JSON.null, JSON.null)
        switch call.arguments {
        case .fitting(let object): arguments = .object(object)
        case .invalid(let why): reason = .string(why)
        }
        return .object(
            JSONObject([
                ("id", .string(call.id)), ("name", .string(call.name)), ("raw", .string(call.raw)),
                ("arguments", arguments), ("reason", reason),
            ]))
    }
}

extension Manifest {
    func with(
        files: [FileRecord]? = nil, target: String? = nil, maxContext: Int? = nil, specialTokens: SpecialTokens? = nil
    ) -> Manifest {
        Manifest(
            schemaVersion: schemaVersion, target: target ?? self.target, recipe: recipe,
            quantizationMethod: quantizationMethod, geometry: geometry,
            specialTokens: specialTokens ?? self.specialTokens, image: image, buckets: buckets,
            maxContext: maxContext ?? self.maxContext, prefillChunk: prefillChunk, chat: chat, sampling: sampling,
            entryPoints: entryPoints, tokenEmbedding: tokenEmbedding, layers: layers, files: files ?? self.files,
            optionalFiles: optionalFiles, provenance: provenance)
    }
}
