import Testing

@testable import PocketVL

@Suite struct AgentTests {
    private struct NoNetwork: Error, CustomStringConvertible { let description: String }

    private let chats: Chats
    private let chat: ChatSession
    private let add: Tool
    private let fail: Tool

    init() throws {
        chats = try Chats(maxContext: 1200)
        chat = try chats.model().chat()
        add = try Self.tool("add", ["a", "b"], "integer") { arguments in
            .json(.integer(Int64((arguments["a"]?.asInteger ?? 0) + (arguments["b"]?.asInteger ?? 0))))
        }
        fail = try Self.tool("fail", ["why"], "string") { throw NoNetwork(description: $0["why"]?.asString ?? "") }
    }

    @Test("calls are made until a text comes, by the tokens of the answers")
    func calls() async throws {
        try follow([
            call("add", #"{"a": 1, "b": 2}"#), call("add", #"{"a": 3, "b": 3}"#), ": Six.<|im_end|>",
        ])
        let told = Collected<String>()
        let agent = try Agent(chat, tools: [add])
        let done = try await agent.ask(
            .text("1+2+3?"), tokens(90), onText: { told.append($0) }, onCall: { told.append("<\($0.call.name)>") })
        #expect(done.text == "Six.")
        #expect(told.all.joined() == "<add><add>Six.")
        #expect(done.answers.map(\.stopReason) == [.toolCalls, .toolCalls, .stop])
        #expect(done.calls.count == 2 && !done.isToolLimit)
        let prompt = chats.tokenizer.decode(try #require(done.answers.last).promptTokenIDs, skipSpecial: false)
        #expect(
            prompt.contains(
                "\u{273f}ARGS\u{273f}: {\"a\": 1, \"b\": 2}\n\u{273f}RESULT\u{273f}: 3\n\u{273f}RETURN\u{273f}"))
        let roles = await chat.conversation.messages.map(\.role)
        #expect(roles == [.user, .assistant, .tool, .assistant, .tool, .assistant])
        let ids = await chat.conversation.messages.flatMap(\.calls).map(\.id)
        #expect(ids == ["call_0", "call_1"])
        try await chat.save(to: chats.file("saved"))
        let restored = try await chats.model(chats.engine()).loadChat(chats.file("saved"))
        #expect(await restored.conversation.tools.names == ["add"])
        var others = tokens(1)
        others.tools = [fail]
        guard case .usage = await chat.ask("?", others).failure() else {
            Issue.record("other tools were taken")
            return
        }
    }

    @Test("what went wrong is told to the model")
    func wrong() async throws {
        let cases = [
            (call("fail", #"{"why": "no network"}"#), "no network"), (call("fail", #"{"why": ""}"#), "NoNetwork"),
            (call("add", #"{"a": 1}"#), "The arguments of add do not fit: b is missing."),
            (call("add", "{"), "The arguments of add must be a JSON object"),
            (call("sub", "{}"), "There is no tool 'sub'; known are add, fail."),
        ]
        for (said, reason) in cases {
            try await chat.reset()
            try follow([said, ": Sorry.<|im_end|>"])
            let done = try await Agent(chat, tools: [add, fail]).ask(.text("?"), tokens(90))
            guard case .error(let told) = done.calls.first?.outcome else {
                Issue.record("\(said) was called")
                continue
            }
            #expect(told.hasPrefix(reason))
            let result = await chat.conversation.messages.first { $0.role == .tool }
            #expect(result?.parts.first?.says(.text("Error: \(told)")) == true)
        }
    }

    @Test("what a handler throws can be let through, and the conversation is as it was")
    func thrown() async throws {
        try follow([call("fail", #"{"why": "no network"}"#), ": Sorry.<|im_end|>"])
        let agent = try Agent(chat, tools: [fail], options: AgentOptions(throwErrors: true))
        await #expect(throws: NoNetwork.self) { _ = try await agent.ask(.text("?"), tokens(90)) }
        #expect(await chat.conversation.messages.isEmpty)
        let huge = try Self.tool("huge", [], "string") { _ in .text(String(repeating: "word ", count: 2000)) }
        try follow([call("huge", "{}"), ": Sorry.<|im_end|>"])
        let refused = try await refusal { _ = try await Agent(chat, tools: [huge]).ask(.text("?"), tokens(90)) }
        guard case .context = refused else {
            Issue.record("\(refused as Any)")
            return
        }
        #expect(await chat.conversation.messages.isEmpty)
    }

    @Test("there is an end to calls")
    func limit() async throws {
        let said = call("add", #"{"a": 1, "b": 2}"#)
        try follow([said, said, said])
        let agent = try Agent(chat, tools: [add], options: AgentOptions(maxCalls: 2))
        let done = try await agent.ask(.text("?"), tokens(90))
        #expect(done.isToolLimit)
        #expect((done.calls.count, done.answers.count) == (2, 3))
    }

    @Test("results are text, JSON or an image")
    func results() async throws {
        let photo = try noise(1)
        let json = try JSON.parse(#"{"é": [1.5, true]}"#)
        let cases: [(ToolResult, Part)] = [
            (.text("text"), .text("text")), (.json(.null), .text("null")), (.json(json), .text(#"{"é": [1.5, true]}"#)),
            (.image(photo), .image(nil)),
        ]
        for (value, part) in cases {
            try await chat.reset()
            let tool = try Self.tool("tool", [], "string") { _ in value }
            try follow([call("tool", "{}"), ": Done.<|im_end|>"])
            _ = try await Agent(chat, tools: [tool]).ask(.text("?"), tokens(90))
            let result = await chat.conversation.messages.first { $0.role == .tool }
            #expect(result?.parts.first?.says(part) == true)
        }
        try await chat.reset()
        let odd = try Self.tool("tool", [], "string") { _ in .json(.double(.nan)) }
        try follow([call("tool", "{}"), ": Done.<|im_end|>"])
        let refused = try await refusal { _ = try await Agent(chat, tools: [odd]).ask(.text("?"), tokens(90)) }
        #expect(refused?.message.contains("cannot be told to the model") == true)
    }

    @Test("an agent without tools or handlers is refused")
    func refused() async throws {
        #expect(try refusal { _ = try Agent(chat, tools: []) } != nil)
        #expect(try refusal { _ = try Agent(chat, tools: [add], options: AgentOptions(maxCalls: 0)) } != nil)
        #expect(try refusal { _ = try Agent(chat, tools: [Tool("silent")]) } != nil)
        var options = AskOptions()
        options.tools = [add]
        #expect(try await refusal { _ = try await Agent(chat, tools: [add]).ask(.text("?"), options) } != nil)
    }

    @Test("a cancelled task calls nothing more")
    func cancelled() async throws {
        let waiting = try Self.tool("wait", [], "string") { _ in
            try await Task.sleep(for: .seconds(60))
            return .text("done")
        }
        try follow([call("wait", "{}"), ": Done.<|im_end|>"])
        let agent = try Agent(chat, tools: [waiting])
        let task = Task { try await agent.ask(.text("?"), tokens(90)) }
        let chat = chat
        try await eventually { await chat.conversation.messages.count == 2 }
        task.cancel()
        await #expect(throws: CancellationError.self) { _ = try await task.value }
        #expect(await chat.conversation.messages.isEmpty)
    }

    private func call(_ name: String, _ arguments: String) -> String {
        ": \u{273f}FUNCTION\u{273f}: \(name)\n\u{273f}ARGS\u{273f}: \(arguments)\n\u{273f}RESULT\u{273f}"
    }

    /// The first answer follows no result, so it begins without a colon.
    private func follow(_ said: [String]) throws {
        let ids = said.enumerated().flatMap { index, text in
            chats.tokenizer.encodeTemplate(index == 0 ? String(text.dropFirst(2)) : text)
        }
        chats.fake.text.follow(ids)
    }

    private static func tool(
        _ name: String, _ names: [String], _ kind: String, _ handler: @escaping Tool.Handler
    ) throws -> Tool {
        let properties = names.map { ($0, JSON.object(JSONObject([("type", .string(kind))]))) }
        return try Tool(
            name,
            parameters: JSONObject([
                ("type", .string("object")), ("properties", .object(JSONObject(properties))),
                ("required", .array(names.map(JSON.string))),
            ]), handler: handler)
    }
}
