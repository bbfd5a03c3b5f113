import Testing

@testable import PocketVL

@Suite struct ToolTests {
    private let golden: JSON

    init() throws { golden = try Golden.read("tool_calls") }

    @Test("tools are described as the model was trained")
    func described() throws {
        for item in try golden["systems"].items {
            #expect(try ToolFormat.describe(tools(item)) == item["text"].string)
        }
    }

    @Test("calls and results become turns")
    func turns() throws {
        for item in try golden["turns"].items {
            let name = try item["name"].string
            let turns = ToolFormat.turns(try item["messages"].items.map(message).checked(), .none)
            #expect(try turns.last?.goesOn == item["open"].bool, "\(name)")
            let found = turns.map { turn in
                [
                    turn.role.rawValue,
                    turn.parts.map { if case .text(let text) = $0 { text } else { "" } }.joined(),
                ]
            }
            #expect(try item["turns"].items.map { try $0.strings } == found, "\(name)")
        }
    }

    @Test("answers are read piece by piece")
    func answers() throws {
        for item in try golden["answers"].items {
            let name = try item["name"].string
            var stream = try stream(item)
            var events = try item["pieces"].strings.map { stream.push($0) }
            events.append(stream.finish())
            #expect(try stream.stoppedBy == item["stopped_by"].string, "\(name)")
            let expected = try item["events"].items.map { try $0.items }
            #expect(expected.map(\.count) == events.map(\.count), "\(name)")
            for (wanted, found) in zip(expected.joined(), events.joined()) { try check(wanted, found, name) }
        }
    }

    @Test("the pieces do not matter")
    func pieces() throws {
        for item in try golden["answers"].items {
            let whole = try item["pieces"].strings.joined()
            let scalars = Array(whole.unicodeScalars)
            let expected = joined(try stream(item), [whole])
            for split in 1..<scalars.count {
                let halves = [String(scalars[..<split]), String(scalars[split...])]
                #expect(joined(try stream(item), halves) == expected)
            }
            #expect(joined(try stream(item), scalars.map { String($0) }) == expected)
        }
    }

    @Test("ids go on where the conversation is")
    func ids() throws {
        var stream = ToolStream(try ToolSet([Tool("look")], parallel: true), callsBefore: 3)
        let events =
            stream.push("\(ToolFormat.function): look\(ToolFormat.function): nothing") + stream.finish()
        let calls = events.compactMap { if case .called(let call) = $0 { call } else { nil } }
        #expect(calls.map(\.id) == ["call_3", "call_4"])
        #expect(calls.last?.arguments == .invalid(reason: "There is no tool 'nothing'; known are look."))
    }

    @Test("without tools nothing is held back, and nothing is changed")
    func none() throws {
        var stream = ToolStream(.none)
        let text = "a \(ToolFormat.function): x \n"
        #expect(stream.push(text) == [.said(text)])
        #expect(stream.finish().isEmpty)
        let message = Message(.user, "What is \(ToolFormat.result)?")
        #expect(ToolFormat.turns([message], .none)[0].says(message))
    }

    @Test("a marker that a combining mark follows is one, in an answer and in what a user says")
    func combining() throws {
        var stream = ToolStream(try ToolSet([Tool("look")]))
        let events = stream.push("Hi \(ToolFormat.result)\u{301}x") + stream.finish()
        #expect(events == [.said("Hi")])
        #expect(stream.stoppedBy == ToolFormat.result)
        let turns = ToolFormat.turns([Message(.user, "\u{273f}\u{fe0f}")], try ToolSet([Tool("look")]))
        #expect(turns.last?.says(Message(.user, "\u{2740}\u{fe0f}")) == true)
    }

    @Test("the tokens kept of an answer end before the marker")
    func kept() throws {
        let tokenizer = try Tokenizer(checkpoint.appendingPathComponent("tokenizer.json"))
        func kept(_ text: String, _ stoppedBy: String, _ endsWithCall: Bool) -> String {
            tokenizer.decode(
                ToolStream.kept(
                    tokenizer.encode(text), tokenizer, stoppedBy: stoppedBy, endsWithCall: endsWithCall))
        }
        let text = "Look. \(ToolFormat.function): look\n\(ToolFormat.args): {}\n\(ToolFormat.result): x"
        let wanted = "Look. \(ToolFormat.function): look\n\(ToolFormat.args): {}\n"
        #expect(kept(text, ToolFormat.result, true) == wanted)
        #expect(kept("a\(ToolFormat.result)", ToolFormat.result, true) == "a\n")
        #expect(kept("Hi", "", false) == "Hi")
    }

    @Test("schemas that cannot be meant are refused, and so are names")
    func schemas() throws {
        let odd = [
            #"{"type": "array"}"#, #"{"type": "object", "properties": []}"#,
            #"{"type": "object", "properties": {"a": {"type": "text"}}}"#, #"{"type": "object", "required": ["a"]}"#,
            #"{"type": "object", "properties": {"a": 1}}"#, #"{"type": "object", "enum": 1}"#,
            #"{"type": "object", "additionalProperties": null}"#,
        ]
        for text in odd {
            let schema = try #require(try JSON.parse(text).asObject)
            guard case .usage = try refusal({ _ = try Tool("a", parameters: schema) }) else {
                Issue.record("\(text) was taken")
                continue
            }
        }
        for name in ["", "a b", "é", String(repeating: "a", count: 65)] {
            #expect(try refusal { _ = try Tool(name) } != nil)
        }
        #expect(try refusal { _ = try ToolSet([Tool("a"), Tool("a")]) }?.message.contains("rename") == true)
        var deep = JSONObject([("type", .string("object"))])
        for _ in 0..<40 {
            deep = JSONObject([
                ("type", .string("object")), ("properties", .object(JSONObject([("a", .object(deep))]))),
            ])
        }
        #expect(try refusal { _ = try Tool("a", parameters: deep) }?.message.contains("deeper") == true)
    }

    @Test(
        "arguments are compared with the schema",
        arguments: [
            (#"{"n": 1}"#, nil), (#"{"n": 3.0}"#, nil), (#"{"n": 1, "e": {"b": 2, "a": 1}}"#, nil),
            ("{}", "n is missing"),
            (#"{"n": 1.5}"#, "n must be integer, not number"), (#"{"n": true}"#, "n must be integer, not boolean"),
            (#"{"n": 1, "e": 1.0}"#, #"e must be one of [1, {"a": 1, "b": 2}]"#), (#"{"n": 1, "e": 1}"#, nil),
            (#"{"n": 1, "l": ["a", 2]}"#, "l[1] must be string, not integer"),
            (#"{"n": 1, "x": 1}"#, "x is unknown; known are n, e, l"),
        ] as [(String, String?)])
    func misfits(arguments: String, reason: String?) throws {
        let schema = try #require(
            try JSON.parse(
                #"{"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"},"#
                    + #" "e": {"enum": [1, {"a": 1, "b": 2}]}, "l": {"items": {"type": "string"}}}}"#
            ).asObject)
        try Schema.check(schema, "it")
        #expect(Schema.misfit(try #require(try JSON.parse(arguments).asObject), schema) == reason)
    }

    @Test(
        "numbers are written as Python does",
        arguments: [
            (1.0, "1.0"), (-0.0, "-0.0"), (1e16, "1e+16"), (1e15, "1000000000000000.0"), (1e-4, "0.0001"),
            (1e-5, "1e-05"), (1.5e-7, "1.5e-07"), (123456789012345680.0, "1.2345678901234568e+17"),
            (12345678901234568.0, "1.2345678901234568e+16"), (9007199254740993.0, "9007199254740992.0"), (0.1, "0.1"),
            (-2.5, "-2.5"), (.leastNonzeroMagnitude, "5e-324"), (1.7976931348623157e308, "1.7976931348623157e+308"),
            (100.25, "100.25"),
        ])
    func numbers(value: Double, written: String) throws {
        #expect(try JSONText.write(.double(value)) == written)
    }

    private func tools(_ item: JSON) throws -> ToolSet {
        try ToolSet(
            try item["tools"].items.map { tool in
                try Tool(
                    tool["name"].string, description: tool["description"].string,
                    parameters: #require(tool["parameters"].asObject))
            }, parallel: item["parallel"].bool)
    }

    private func stream(_ item: JSON) throws -> ToolStream {
        ToolStream(try tools(item), afterResults: try item["after_results"].bool)
    }

    /// As a chat API has it.
    private func message(_ value: JSON) throws -> Message {
        let role = try #require(Role(rawValue: try value["role"].string))
        var parts: [Part] = []
        if let text = value["content"].asString { parts.append(.text(text)) }
        for part in value["content"].asArray ?? [] {
            parts.append(part["text"].asString.map(Part.text) ?? .image(nil))
        }
        for call in value["tool_calls"].asArray ?? [] {
            let (name, raw) = (try call["function"]["name"].string, try call["function"]["arguments"].string)
            let arguments = (try? ToolArguments.parse(raw)).map(ToolCall.Arguments.fitting)
            parts.append(
                .call(
                    ToolCall(
                        id: try call["id"].string, name: name, arguments: arguments ?? .invalid(reason: ""), raw: raw)))
        }
        return Message(role, parts, toolCallID: value["tool_call_id"].asString)
    }

    private func check(_ wanted: JSON, _ found: ToolEvent, _ name: String) throws {
        if let text = wanted.asString {
            #expect(found == .said(text), "\(name)")
            return
        }
        guard case .called(let call) = found else {
            Issue.record("\(name): no call")
            return
        }
        #expect(try call.name == wanted["name"].string, "\(name)")
        #expect(try call.raw == wanted["raw"].string, "\(name)")
        switch call.arguments {
        case .fitting(let arguments): #expect(.object(arguments) == wanted["arguments"], "\(name)")
        case .invalid(let reason):
            #expect(wanted.asObject?["arguments"] == nil, "\(name)")
            // null: in the words of the JSON parser
            #expect(reason == wanted["reason"].asString ?? reason, "\(name)")
        }
    }

    /// Neighbouring texts as one: they may be cut anywhere.
    private func joined(_ start: ToolStream, _ pieces: [String]) -> [ToolEvent] {
        var stream = start
        let events = pieces.flatMap { stream.push($0) } + stream.finish()
        return events.reduce(into: []) { joined, event in
            if case .said(let text) = event, case .said(let before) = joined.last {
                joined[joined.count - 1] = .said(before + text)
            } else {
                joined.append(event)
            }
        }
    }
}
