/// A question of a live view, the frame that it is about, and its answer.
struct LiveTurn: Sendable {
    let question: String
    let frame: EncodedImage
    var answer: String?
    /// Whether the frame comes before its text: not where it is another turn's already, or has left.
    var hasFrame = true

    /// Of turns about these frames, by key, which have theirs before their text: the first of neighbouring turns about
    /// one frame, for the `most` newest of such neighbours.
    static func kept(_ frames: [String], most: Int) -> [Bool] {
        let first = frames.indices.map { $0 == 0 || frames[$0 - 1] != frames[$0] }
        let leaving = first.count { $0 } - most
        var seen = 0
        return first.map { isFirst in
            if !isFirst { return false }
            seen += 1
            return seen > leaving
        }
    }
}

extension [LiveTurn] {
    /// With the frames that stay; the last turn is about the newest.
    func withFrames(most: Int) -> [LiveTurn] {
        zip(self, LiveTurn.kept(map(\.frame.media.key), most: most)).map { turn, hasFrame in
            var turn = turn
            turn.hasFrame = hasFrame
            return turn
        }
    }

    /// For a chat: the last turn is not answered.
    func messages() -> [Message] {
        flatMap { turn in
            let image: [Part] = turn.hasFrame ? [.image(turn.frame)] : []
            let question = Message(.user, image + [.text(turn.question)])
            return [question] + (turn.answer.map { [Message(.assistant, $0)] } ?? [])
        }
    }
}
