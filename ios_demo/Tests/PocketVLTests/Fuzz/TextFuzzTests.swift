import Foundation
import Testing

@testable import PocketVL

/// Odd conversations and answers: an error is thrown or they are taken, and nothing traps. See ``Damage/count``.
@Suite struct TextFuzzTests {
    @Test("odd conversations are refused, or become tokens")
    func messages() throws {
        let encoders = try [false, true].map { numbered in
            let template = try ChatTemplate(checkpoint.appendingPathComponent("chat_template.jinja"))
            return try PromptEncoder(Tiny.tokenizer.get(), Tiny.special, template, addVisionID: numbered)
        }
        let tools = try ToolSet([Tool("tap"), Tool("look")], parallel: true)
        var damage = Damage(seed: 5)
        var refused = 0
        for _ in 0..<Damage.count {
            let sizes = (0..<damage.below(4)).map { _ in PixelSize(height: damage.size(), width: damage.size()) }
            let encoder = damage.one(of: encoders)
            let known = damage.rarely(2) ? tools : .none
            let (first, following) = (odd(&damage), odd(&damage))
            let error = try refusal {
                let messages = try first.checkedConversation().withThousandths(sizes, earlier: damage.below(4))
                let turns = ToolFormat.turns(messages, known, beginning: damage.rarely(2))
                let counts = turns.media.map { _ in damage.rarely(40) ? damage.below(3) - 1 : 2 }
                let ids = try encoder.encode(turns, mediaTokens: counts, answerNext: damage.rarely(2))
                _ = try Positions.mrope(
                    ids, grids: counts.map { Grid(t: 1, h: 2, w: 2 * $0) }, special: Tiny.special, merge: 2)
            }
            if error != nil { refused += 1 }
            _ = try refusal {
                _ = try following.checked().checkedResults(of: first.last?.calls ?? [])
            }
            _ = try refusal {
                let history = ToolFormat.turns(first, known)
                let turns = ToolFormat.turns(following, known, beginning: false)
                _ = try encoder.encodeContinuation(
                    history: history, following: turns, mediaTokens: turns.media.map { _ in 2 })
            }
            _ = first.elementsEqual(following) { $0.says($1) }
        }
        print("\(refused) of \(Damage.count) conversations refused")
        #expect(refused > Damage.count / 10 && refused < Damage.count * 9 / 10)
    }

    @Test("answers of any tokens are text, boxes, calls and nothing else")
    func answers() throws {
        let tokenizer = try Tiny.tokenizer.get()
        let marks = [
            ToolFormat.function, ToolFormat.args, ToolFormat.result, "\u{273F}", ": tap", "{\"x\": 1}", "(1,2),(3,4)",
            "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>", "<|quad_start|>",
            "<|quad_end|>",
        ].map { tokenizer.encodeTemplate($0) }
        let tools = try [ToolSet([Tool("tap")], parallel: true), ToolSet([Tool("tap")]), .none]
        var damage = Damage(seed: 3)
        for _ in 0..<Damage.count {
            var answer = AnswerText(tokenizer)
            var stop = try StopStrings(["a", "\u{FFFD}"])
            var calls = ToolStream(damage.one(of: tools), afterResults: damage.rarely(2))
            let tokens = (0..<damage.below(30)).flatMap { _ in
                damage.rarely(2) ? damage.one(of: marks) : [damage.rarely(30) ? damage.size() : damage.below(1100) - 20]
            }
            for token in tokens {
                let piece = answer.push(token)
                _ = stop.push(piece)
                _ = calls.push(piece)
            }
            let rest = answer.finish()
            _ = stop.push(rest) + stop.finish()
            _ = calls.push(rest) + calls.finish()
            let sizes = [PixelSize(height: damage.size(), width: damage.size())]
            _ = FoundShape.boxes(answer.boxes, in: sizes)
            _ = FoundShape.quads(answer.quads, in: sizes)
            let endsWithCall = damage.rarely(2)
            let kept = ToolStream.kept(tokens, tokenizer, stoppedBy: calls.stoppedBy, endsWithCall: endsWithCall)
            #expect(!calls.stoppedBy.isEmpty || endsWithCall || kept == tokens)
        }
    }

    @Test("arguments of any text become a call or a reason, and any schema is refused or used")
    func toolCalls() throws {
        let arguments = #"{"x": [1, -2.5e3, {"y": "\u00e9"}], "way": "up"} and so on"#
        let schema = #"""
            {"type": "object", "required": ["way"], "additionalProperties": false, "properties":
            {"x": {"items": {"type": ["number", "object"]}}, "way": {"enum": ["up", 1]}}}
            """#
        let free = try ToolSet([Tool("tap")])
        var damage = Damage(seed: 6)
        var (fitting, refused) = (0, 0)
        for _ in 0..<Damage.count {
            let raw = damage.damaged(arguments)
            let name = damage.rarely(10) ? damage.text() : "tap"
            _ = ToolArguments.call(id: "a", name: name, raw: raw, free)
            guard let parameters = (try? JSON.parse(damage.damaged(schema)))?.asObject else { continue }
            let error = try refusal {
                let tool = try Tool(name, description: damage.text(), parameters: parameters)
                let tools = try ToolSet([tool])
                _ = ToolFormat.describe(tools)
                let call = ToolArguments.call(id: "a", name: "tap", raw: raw, tools)
                if case .fitting = call.arguments { fitting += 1 }
                _ = ToolFormat.turns([Message(.assistant, [.call(call)])], tools)
            }
            if error != nil { refused += 1 }
        }
        print("\(refused) schemas refused, \(fitting) calls fit, of \(Damage.count)")
        #expect(refused > 0 && fitting > 0)
    }

    @Test("texts that look like boxes are boxes or nothing")
    func boxes() throws {
        let base = [
            "(12,34),(567,890)", "a (1,2),(3,4) ( 5 , 6.25 ),( 7.5,8 )", "(1,2),(3,4),(5,6),(7,8)", "(٣,1),(9,9)",
        ]
        var damage = Damage(seed: 7)
        for _ in 0..<Damage.count {
            let text = damage.damaged(damage.one(of: base)) + damage.text()
            let scalars = Array(text.unicodeScalars)
            let found = FoundShape.plainBoxes(text).map(\.corners)
            for corners in found + [FoundShape.box(scalars)].compactMap({ $0 }) {
                #expect(corners.count == 4 && corners.allSatisfy { (0...1000).contains($0) }, "\(text.quoted)")
            }
            #expect(FoundShape.quad(scalars).map { $0.count == 8 } ?? true)
            _ = try refusal {
                let shape = try oddShape(&damage)
                let sizes = (0..<damage.below(3)).map { _ in PixelSize(height: damage.size(), width: damage.size()) }
                let placed = try shape.inThousandths(sizes)
                #expect(placed.numbers.allSatisfy { (0...1000).contains($0) })
                _ = placed.markup
            }
        }
    }

    /// In usual order, but for one message here and there.
    private func odd(_ damage: inout Damage) -> [Message] {
        let usual: [Role] = damage.one(of: [
            [.user], [.system, .user, .assistant, .user], [.user, .assistant], [.user, .assistant, .tool, .assistant],
        ])
        return usual.map { role in
            let isOdd = damage.rarely(30)
            let given = isOdd ? damage.one(of: Role.allCases) : role
            var parts = (0...damage.below(3)).map { _ in damage.rarely(8) ? oddPart(&damage) : Part.text("Hi") }
            if isOdd && damage.rarely(3) { parts = [] }
            if role == .assistant && damage.rarely(2) { parts.append(.call(call(&damage))) }
            return Message(given, parts, toolCallID: isOdd || given == .tool ? damage.one(of: ["a", nil]) : nil)
        }
    }

    private func oddPart(_ damage: inout Damage) -> Part {
        switch damage.below(6) {
        case 0: .objectRef(damage.text())
        case 1: .image(nil)
        case 2: .video(nil)
        case 3: (try? oddShape(&damage)).map { .shape($0) } ?? .text("")
        case 4: .call(call(&damage))
        default: .text(damage.text())
        }
    }

    private func call(_ damage: inout Damage) -> ToolCall {
        let arguments: ToolCall.Arguments = damage.rarely(2) ? .fitting(JSONObject()) : .invalid(reason: damage.text())
        return ToolCall(
            id: damage.one(of: ["a", "b"]), name: damage.text(), arguments: arguments, raw: damage.text())
    }

    private func oddShape(_ damage: inout Damage) throws -> Shape {
        let kind: Shape.Kind = damage.one(of: [.box, .quad])
        let count = damage.rarely(10) ? damage.below(9) : kind == .box ? 4 : 8
        let image = damage.rarely(3) ? damage.size(3) : nil
        var numbers = (0..<count).map { _ in damage.real() }
        if kind == .box && !damage.rarely(4) { numbers.sort { $0 < $1 } }
        return try Shape(kind, numbers, unit: damage.rarely(2) ? .thousandths : .pixels(image: image))
    }
}
