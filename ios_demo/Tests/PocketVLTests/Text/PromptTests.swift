import Foundation
import Testing

@testable import PocketVL

@Suite struct PromptTests {
    @Test("whole conversations and continuations have the golden ids")
    func prompts() throws {
        let data = try Golden.read("prompts")
        let encoder = try encoder()
        for one in try data["cases"].items {
            let ids = try encoder.encode(messages(one["messages"]), mediaTokens: one["media_tokens"].ints)
            #expect(try ids == one["ids"].ints, "\(one["name"])")
        }
        for one in try data["continuations"].items {
            let (history, new) = (try messages(one["history"]), try messages(one["new"]))
            let counts = try one["media_tokens"].ints
            let ids = try encoder.encodeContinuation(history: history, following: new, mediaTokens: counts)
            #expect(try ids == one["ids"].ints, "\(one["name"])")
        }
    }

    @Test("the prompts of a traced conversation have the golden ids")
    func trace() throws {
        let data = try Golden.read("conversation_trace")
        let encoder = try encoder()
        let first = try #require(try data["turns"].items.first)
        let images = try first["messages"].items.flatMap { message in
            (message["content"].asArray ?? []).filter { $0["type"] == .string("image") }
        }
        let counts = try images.map { image in
            let grid = try data["images"][image["image"].string]["grid"].ints
            return grid[0] * grid[1] * grid[2] / 4
        }
        let ids = try encoder.encode(messages(first["messages"]), mediaTokens: counts)
        #expect(try ids == first["prompt_ids"].ints)
    }

    @Test("numbers come before images and videos, and go on after earlier turns")
    func visionID() throws {
        let tokenizer = try Tiny.tokenizer.get()
        let template = try ChatTemplate(checkpoint.appendingPathComponent("chat_template.jinja"))
        let encoder = try PromptEncoder(tokenizer, Tiny.special, template, addVisionID: true)
        let first = [Message(.user, [.image(nil), .video(nil), .text("a")])]
        let text = tokenizer.decode(try encoder.encode(first, mediaTokens: [1, 1]))
        #expect(text.contains("Picture 1: Video 1: a"))
        let following = [Message(.user, [.image(nil)])]
        let ids = try encoder.encodeContinuation(
            history: first + [Message(.assistant, "b")], following: following, mediaTokens: [1])
        #expect(tokenizer.decode(ids).contains("Picture 2: "))
    }

    @Test("an assistant's turn that goes on is left open, and continued without being opened")
    func goesOn() throws {
        let encoder = try encoder()
        let user = Message(.user, "a")
        let open = Message(.assistant, [.text("b")], goesOn: true)
        let whole = try encoder.encode([user, open], mediaTokens: [])
        let before = try encoder.encode([user], mediaTokens: [])
        let tokenizer = try Tiny.tokenizer.get()
        #expect(whole == before + tokenizer.encode("b"))
        let rest = try encoder.encodeContinuation(
            history: [user, Message(.assistant, "b")], following: [Message(.assistant, [.text("c")], goesOn: true)],
            mediaTokens: [])
        #expect(rest == tokenizer.encode("c"))
    }

    @Test("without a template a prompt is a completion")
    func completion() throws {
        let tokenizer = try Tiny.tokenizer.get()
        let encoder = try PromptEncoder(tokenizer, Tiny.special, nil)
        let parts: [Part] = [.text("He"), .text("llo"), .image(nil), .objectRef("cat")]
        let ids = try encoder.encode([Message(.user, parts)], mediaTokens: [2])
        let marks = ["<|object_ref_start|>", "<|object_ref_end|>"].compactMap(tokenizer.tokenID)
        #expect(
            ids == tokenizer.encode("Hello") + [1019, 1022, 1022, 1020, marks[0]] + tokenizer.encode("cat") + [marks[1]]
        )
        #expect(try refusal { _ = try encoder.encode([Message(.user, "")], mediaTokens: []) }?.isPrompt == true)
        #expect(
            try refusal { _ = try PromptEncoder(tokenizer, Tiny.special, nil, addVisionID: true) }?.isPrompt == true)
    }

    @Test("what cannot be a prompt is refused")
    func refused() throws {
        let encoder = try encoder()
        let image = [Message(.user, [.image(nil)])]
        #expect(try refusal { _ = try encoder.encode(image, mediaTokens: []) }?.isPrompt == true)
        #expect(try refusal { _ = try encoder.encode(image, mediaTokens: [0]) }?.isPrompt == true)
        #expect(try refusal { _ = try encoder.encode(image, mediaTokens: [-5]) }?.isPrompt == true)
        let answer = [Message(.assistant, "a")]
        for history in [[], image, answer] {
            let error = try refusal {
                _ = try encoder.encodeContinuation(history: history, following: image, mediaTokens: [1])
            }
            #expect(error?.isPrompt == true)
        }
        #expect(try refusal { _ = try ChatTemplate("{{ messages }}") }?.isPrompt == true)
        #expect(try refusal { try [Message]().checkedConversation() }?.isPrompt == true)
        #expect(try refusal { try [Message(.user, [])].checkedConversation() }?.isPrompt == true)
        #expect(try refusal { try answer.checkedConversation() }?.isPrompt == true)
        #expect(try refusal { try [image[0], Message(.system, "a")].checkedConversation() }?.isPrompt == true)
        #expect(try refusal { try image.checkedConversation() } == nil)
    }

    private func encoder() throws -> PromptEncoder {
        try PromptEncoder(
            Tiny.tokenizer.get(), Tiny.special, ChatTemplate(checkpoint.appendingPathComponent("chat_template.jinja")))
    }

    /// The golden file's images and videos have no contents; only their number of tokens matters.
    private func messages(_ value: JSON) throws -> [Message] {
        try value.items.map { message in
            let role = try #require(Role(rawValue: message["role"].string))
            if let text = message["content"].asString { return Message(role, text) }
            return Message(
                role,
                try message["content"].items.map { part in
                    switch try part["type"].string {
                    case "image": .image(nil)
                    case "video": .video(nil)
                    default: .text(try part["text"].string)
                    }
                })
        }
    }
}
