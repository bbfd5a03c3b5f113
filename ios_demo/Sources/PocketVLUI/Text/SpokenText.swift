import Foundation

/// What VoiceOver is to say of an answer while it grows: whole sentences, each once. Reading out every piece would cut
/// the one before off.
public struct SpokenText: Sendable {
    private var spoken = 0  // characters

    public init() {}

    /// The sentences of `answer` that have ended since the last call, maybe none; all the rest where it is done.
    public mutating func next(_ answer: String, isDone: Bool) -> String {
        let characters = Array(answer)
        if characters.count < spoken { spoken = 0 }  // another answer
        let end = isDone ? characters.count : sentenceEnd(characters)
        if end <= spoken { return "" }
        let text = String(characters[spoken..<end])
        spoken = end
        return text.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Behind the last full stop that white space follows, or the last line break or stop of East Asian scripts.
    private func sentenceEnd(_ answer: [Character]) -> Int {
        for index in answer.indices.reversed() where index >= spoken {
            let isFollowed = index + 1 < answer.count && answer[index + 1].isWhitespace
            if answer[index].isNewline || "。！？".contains(answer[index]) { return index + 1 }
            if ".!?:;".contains(answer[index]) && isFollowed { return index + 1 }
        }
        return spoken
    }
}
