/// Tools, calls and results as text, in the form that Qwen2-VL was trained on.
///
/// It is qwen_agent's, prompt type "qwen": the tools are described in the system turn; a call, its result and the
/// reply stand in one turn of the assistant, each after a marker between two U+273F signs:
///
///     <|im_start|>assistant
///     ✿FUNCTION✿: tap
///     ✿ARGS✿: {"x": 10, "y": 20}
///     ✿RESULT✿: done
///     ✿RETURN✿: The button is pressed.<|im_end|>
///
/// The markers are ordinary text, so whatever else is said must not hold them: in a conversation with tools, the sign
/// becomes U+2740 in texts and results, and an escape in JSON.
enum ToolFormat {
    private static let sign: Unicode.Scalar = "\u{273f}"
    private static let otherSign = "\u{2740}"
    static let function = "\u{273f}FUNCTION\u{273f}"
    static let args = "\u{273f}ARGS\u{273f}"
    static let result = "\u{273f}RESULT\u{273f}"
    static let `return` = "\u{273f}RETURN\u{273f}"

    private static let defaultSystem = "You are a helpful assistant."  // the chat template's own

    private static let oneByOne =
        "## When you need to call a tool, please insert the following command in your reply, which can be called zero"
        + " or multiple times according to your needs:\n\n"
        + "\(function): The tool to use, should be one of [NAMES]\n"
        + "\(args): The input of the tool\n"
        + "\(result): Tool results\n"
        + "\(`return`): Reply based on tool results. Images need to be rendered as ![](url)"

    private static let parallel =
        "## Insert the following command in your reply when you need to call N tools in parallel:\n\n"
        + "\(function): The name of tool 1, should be one of [NAMES]\n"
        + "\(args): The input of tool 1\n"
        + "\(function): The name of tool 2\n"
        + "\(args): The input of tool 2\n"
        + "...\n"
        + "\(function): The name of tool N\n"
        + "\(args): The input of tool N\n"
        + "\(result): The result of tool 1\n"
        + "\(result): The result of tool 2\n"
        + "...\n"
        + "\(result): The result of tool N\n"
        + "\(`return`): Reply based on tool results. Images need to be rendered as ![](url)"

    /// Messages with calls, results and tools as text; of the roles system, user and assistant alone.
    ///
    /// `beginning`: whether a conversation begins with them; else they follow what was fed before, results after an
    /// assistant's calls and a line break. Results at the end leave the assistant's turn open, where it goes on. Without
    /// tools, calls and results nothing is changed.
    static func turns(_ messages: [Message], _ tools: ToolSet, beginning: Bool = true) -> [Message] {
        if tools.isEmpty && messages.allSatisfy({ $0.role != .tool && $0.calls.isEmpty }) { return messages }
        var turns: [Turn] = []
        for message in messages {
            let pieces = message.parts.map(plain)
            if message.role == .tool {
                add(result: pieces, to: &turns)
            } else if message.role == .assistant, let last = turns.indices.last, turns[last].goesOn {
                turns[last].goesOn = false
                turns[last].pieces += [Piece(.text(": "))] + pieces
            } else {
                turns.append(Turn(role: message.role, pieces: pieces))
            }
        }
        if !tools.isEmpty && beginning {
            if turns.first?.role != .system {
                turns.insert(Turn(role: .system, pieces: [Piece(.text(defaultSystem))]), at: 0)
            }
            turns[0].pieces.append(Piece(.text("\n\n" + describe(tools))))
        }
        return turns.map { Message($0.role, joined($0.pieces), goesOn: $0.goesOn) }
    }

    /// What the system turn says of them.
    static func describe(_ tools: ToolSet) -> String {
        let descriptions = tools.tools.map(describe).joined(separator: "\n\n")
        let names = tools.names.joined(separator: ",")
        let commands = (tools.parallel ? parallel : oneByOne).replacingScalars("NAMES", with: names)
        return "# Tools\n\n## You have access to the following tools:\n\n\(descriptions)\n\n\(commands)"
    }

    private struct Turn {
        let role: Role
        var pieces: [Piece]
        /// After results, so that the assistant's turn is open.
        var goesOn = false
    }

    private struct Piece {
        let part: Part
        /// A call's text, which begins a line of its own.
        let beginsLine: Bool

        init(_ part: Part, beginsLine: Bool = false) {
            self.part = part
            self.beginsLine = beginsLine
        }
    }

    private static func describe(_ tool: Tool) -> String {
        // Tool's init saw that it can be written.
        let parameters = escaped((try? JSONText.write(.object(tool.parameters))) ?? "{}")
        let description = "\(tool.name): \(harmless(tool.description)) Parameters: \(parameters)"
        return "### \(tool.name)\n\n\(description) Format the arguments as a JSON object."
    }

    private static func plain(_ part: Part) -> Piece {
        switch part {
        case .text(let text): Piece(.text(harmless(text)))
        case .objectRef(let text): Piece(.objectRef(harmless(text)))
        case .call(let call):
            Piece(.text("\(function): \(harmless(call.name))\n\(args): \(arguments(call))"), beginsLine: true)
        case .shape, .image, .video: Piece(part)
        }
    }

    private static func arguments(_ call: ToolCall) -> String {
        switch call.arguments {
        case .fitting: call.raw.isEmpty ? "{}" : escaped(call.raw)
        case .invalid: harmless(call.raw)
        }
    }

    private static func add(result pieces: [Piece], to turns: inout [Turn]) {
        // The first follows what was fed before, which ends with a line break.
        let isFirst = turns.isEmpty
        if isFirst { turns.append(Turn(role: .assistant, pieces: [])) }
        let last = turns.count - 1
        if turns[last].goesOn { turns[last].pieces.removeLast() }  // the marker after the result before
        turns[last].pieces += [Piece(.text(isFirst ? "\(result): " : "\n\(result): "))] + pieces
        turns[last].pieces.append(Piece(.text("\n\(`return`)")))
        turns[last].goesOn = true
    }

    /// Neighbouring texts as one, as a template sees them.
    private static func joined(_ pieces: [Piece]) -> [Part] {
        var joined: [Part] = []
        for piece in pieces {
            if case .text(let text) = piece.part, case .text(let before) = joined.last {
                let lineBreak = piece.beginsLine && !before.isEmpty ? "\n" : ""
                joined[joined.count - 1] = .text(before + lineBreak + text)
            } else {
                joined.append(piece.part)
            }
        }
        return joined
    }

    /// Without signs that could make a marker.
    private static func harmless(_ text: String) -> String { text.replacing(sign, with: otherSign) }

    private static func escaped(_ json: String) -> String { json.replacing(sign, with: "\\u273f") }
}

extension String {
    /// Scalar by scalar: one that is followed by a combining mark is found, too.
    fileprivate func replacing(_ scalar: Unicode.Scalar, with text: String) -> String {
        var out = ""
        for each in unicodeScalars {
            if each == scalar { out += text } else { out.unicodeScalars.append(each) }
        }
        return out
    }

    fileprivate func replacingScalars(_ part: String, with text: String) -> String {
        let wanted = Array(part.utf8)
        var out: [UInt8] = []
        var rest = Array(utf8)[...]
        while !rest.isEmpty {
            if rest.starts(with: wanted) {
                out += text.utf8
                rest = rest.dropFirst(wanted.count)
            } else {
                out.append(rest.removeFirst())
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}
