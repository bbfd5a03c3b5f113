/// One answer while its tokens come: what is shown of it, and what of it stays in the conversation.
struct AnswerBuilder {
    private let tokenizer: Tokenizer
    private let eos: [Int]
    private var stop: StopStrings
    private var calls: ToolStream
    private var answerText: AnswerText
    private var lengths: [Int] = []  // bytes of text after each token, those held back or cut off included
    private var shown = 0  // bytes that no stop string cut off

    /// What was shown, without calls.
    private(set) var text = ""
    /// As generated, the one that ended the answer included.
    private(set) var tokens: [Int] = []
    private(set) var toolCalls: [ToolCall] = []

    /// - Parameters:
    ///   - eos: ids that end an answer and are not part of its text.
    ///   - stop: new, of this answer; as `calls`.
    init(_ tokenizer: Tokenizer, eos: [Int], stop: StopStrings, calls: ToolStream) {
        self.tokenizer = tokenizer
        self.eos = eos
        self.stop = stop
        self.calls = calls
        answerText = AnswerText(tokenizer)
    }

    var boxes: [FoundShape] { answerText.boxes }
    var quads: [FoundShape] { answerText.quads }

    /// Whether a stop string or a marker of the tools ended the answer.
    var isStopped: Bool { stop.found != nil || !calls.stoppedBy.isEmpty }

    /// The stop string that ended the text.
    var stopString: String? { stop.found }

    /// Of the message that the answer becomes.
    func parts() -> [Part] {
        let called = toolCalls.map(Part.call)
        return !called.isEmpty && text.isEmpty ? called : [.text(text)] + called
    }

    /// The text that can be shown after this token, maybe none.
    mutating func push(_ token: Int) -> String {
        let piece = eos.contains(token) ? "" : answerText.push(token)
        tokens.append(token)
        lengths.append((lengths.last ?? 0) + piece.utf8.count)
        return show(stop.push(piece))
    }

    /// What was held back.
    mutating func finish() -> String {
        let piece = stop.push(answerText.finish())
        return show(piece + stop.finish()) + add(calls.finish())
    }

    /// Tokens of what was shown, for the turns that follow: without the one that ended the answer, and without a stop
    /// string, within one of whose tokens the text may end.
    func kept() -> [Int] {
        if stop.found == nil {
            let ends = tokens.last.map(eos.contains) ?? false
            return ToolStream.kept(
                ends ? Array(tokens.dropLast()) : tokens, tokenizer, stoppedBy: calls.stoppedBy,
                endsWithCall: !toolCalls.isEmpty)
        }
        var count = lengths.prefix { $0 <= shown }.count
        while count > 0, isPartOfACharacter(count - 1) { count -= 1 }  // which the stop string begins with
        let length = count > 0 ? lengths[count - 1] : 0
        let rest = Array(answerText.text.utf8)[length..<max(length, shown)]
        return Array(tokens[..<count]) + tokenizer.encode(String(decoding: rest, as: UTF8.self))
    }

    private func isPartOfACharacter(_ index: Int) -> Bool {
        let before = index > 0 ? lengths[index - 1] : 0
        return lengths[index] == before && !tokenizer.specialIDs.contains(tokens[index])
    }

    /// What no stop string cut off, on to the tools.
    private mutating func show(_ piece: String) -> String {
        shown += piece.utf8.count
        return add(calls.push(piece))
    }

    /// Keeps calls; the text of the rest.
    private mutating func add(_ events: [ToolEvent]) -> String {
        var piece = ""
        for event in events {
            switch event {
            case .said(let text): piece += text
            case .called(let call): toolCalls.append(call)
            }
        }
        text += piece
        return piece
    }
}
