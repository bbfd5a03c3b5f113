/// What an answer does: it says something, or calls a tool.
enum ToolEvent: Sendable, Equatable {
    case said(String)
    case called(ToolCall)
}

/// An answer's text, piece by piece as it comes, to what is said and what is called; see ``ToolFormat``.
///
/// Text without markers is passed on; space before what may become a marker is held back with it. A call is complete
/// at the next marker, or at the end. Nothing is thrown: a call that cannot be made says why.
struct ToolStream: Sendable {
    private enum State { case text, name, arguments }

    private static let markers = [ToolFormat.function, ToolFormat.args, ToolFormat.result, ToolFormat.return]
        .map { Array($0.unicodeScalars) }
    private static let longest = markers.map(\.count).max() ?? 0

    private let tools: ToolSet
    private var number: Int
    private var isAfterColon: Bool
    private var state = State.text
    private var held: [Unicode.Scalar] = []
    private var searched = 0  // scalars of `held` in which no marker begins
    private var name = ""

    /// The marker that ended the answer, empty so far: that of a result, which is not the model's to write, or of a
    /// second call where only one is made at a time.
    private(set) var stoppedBy = ""

    /// - Parameters:
    ///   - callsBefore: of the conversation, which numbers the ids.
    ///   - afterResults: the text begins with the colon that belongs to the marker before it.
    init(_ tools: ToolSet, callsBefore: Int = 0, afterResults: Bool = false) {
        self.tools = tools
        number = callsBefore
        isAfterColon = !afterResults
    }

    /// What this piece completes. After ``stoppedBy`` is set, nothing.
    mutating func push(_ piece: String) -> [ToolEvent] {
        var events: [ToolEvent] = []
        held += piece.unicodeScalars
        if !isAfterColon {
            if held.isEmpty || held == [":"] { return events }
            held = Self.withoutColon(held)
            isAfterColon = true
        }
        if tools.isEmpty {
            say(held, &events)
            held = []
        }
        while stoppedBy.isEmpty, let (start, marker) = nextMarker() {
            let before = Array(held[..<start])
            held = Array(held[(start + marker.count)...])
            searched = 0
            at(marker, before, &events)
        }
        if state == .text && stoppedBy.isEmpty {
            let safe = Self.safeLength(held)
            say(Array(held[..<safe]), &events)
            held = Array(held[safe...])
        }
        searched = max(0, held.count - Self.longest)
        return events
    }

    /// What was held back, as the answer ends here.
    mutating func finish() -> [ToolEvent] {
        var events: [ToolEvent] = []
        let left = held
        held = []
        if !stoppedBy.isEmpty { return events }
        if state == .text {
            say(isAfterColon ? left : Self.withoutColon(left), &events)
        } else {
            call(left, &events)
        }
        return events
    }

    private func nextMarker() -> (start: Int, marker: [Unicode.Scalar])? {
        for start in searched..<max(searched, held.count) where held[start] == Self.markers[0][0] {
            let found = Self.markers.first { marker in
                // Arguments of nothing are text.
                held[start...].starts(with: marker) && (state != .text || marker != Self.markers[1])
            }
            if let found { return (start, found) }
        }
        return nil
    }

    private mutating func at(_ marker: [Unicode.Scalar], _ before: [Unicode.Scalar], _ events: inout [ToolEvent]) {
        let marker = String(marker)
        var calls = false
        if state == .text {
            let end = before.lastIndex { !$0.isSpace }.map { $0 + 1 } ?? 0
            say(Array(before[..<end]), &events)
        } else if state == .name && marker == ToolFormat.args {
            name = String(Self.withoutColon(before).trimmed())
        } else {
            call(before, &events)
            calls = true
        }
        if marker == ToolFormat.result || marker == ToolFormat.return || (calls && !tools.parallel) {
            stoppedBy = marker
            held = []
        }
        state = marker == ToolFormat.function ? .name : .arguments
    }

    /// After its name or its arguments; a name alone calls without arguments.
    private mutating func call(_ said: [Unicode.Scalar], _ events: inout [ToolEvent]) {
        let text = String(Self.withoutColon(said).trimmed())
        let id = "call_\(number)"
        number += 1
        let called =
            state == .name
            ? ToolArguments.call(id: id, name: text, raw: "", tools)
            : ToolArguments.call(id: id, name: name, raw: text, tools)
        events.append(.called(called))
    }

    private func say(_ text: [Unicode.Scalar], _ events: inout [ToolEvent]) {
        if !text.isEmpty { events.append(.said(String(text))) }
    }

    /// Scalars that cannot belong to a marker any more, nor to the space before it.
    private static func safeLength(_ text: [Unicode.Scalar]) -> Int {
        var start = text.count
        for size in stride(from: min(longest - 1, text.count), to: 0, by: -1) {
            let tail = text.suffix(size)
            if markers.contains(where: { $0.starts(with: tail) }) {
                start -= size
                break
            }
        }
        while start > 0, text[start - 1].isSpace { start -= 1 }
        return start
    }

    /// Of what stands after a marker.
    private static func withoutColon(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
        guard text.first == ":" else { return text }
        return Array(text.dropFirst(text.count > 1 && text[1] == " " ? 2 : 1))
    }

    /// Of an answer: the tokens before the marker, and a line break after a call, which its result follows.
    ///
    /// A token that holds more than the marker is encoded anew without it.
    static func kept(_ tokens: [Int], _ tokenizer: Tokenizer, stoppedBy: String, endsWithCall: Bool) -> [Int] {
        let texts = tokens.map { tokenizer.tokenBytes($0, skipSpecial: false) }
        let whole = Array(texts.joined())
        let cut = stoppedBy.isEmpty ? whole.count : lastIndex(of: Array(stoppedBy.utf8), in: whole)
        var size = 0
        var count = 0
        while count < tokens.count, size + texts[count].count <= cut {
            size += texts[count].count
            count += 1
        }
        var rest = String(decoding: whole[size..<cut], as: UTF8.self)
        if endsWithCall && (cut == 0 || whole[cut - 1] != UInt8(ascii: "\n")) { rest += "\n" }
        return Array(tokens[..<count]) + tokenizer.encode(rest)
    }

    /// The end where it is not there, which is never met: a stream that stopped has seen the marker.
    private static func lastIndex(of wanted: [UInt8], in bytes: [UInt8]) -> Int {
        stride(from: bytes.count - wanted.count, through: 0, by: -1)
            .first { bytes[$0...].starts(with: wanted) } ?? bytes.count
    }
}
