import PocketVL

/// What a frame is, beside those before it.
enum Sight: Sendable, Equatable {
    /// The device or what it shows moves: a blurred frame is not worth an answer.
    case moving
    /// Still, and what the last question was about.
    case same
    /// Still, and something else.
    case new
}

/// Lets through what is worth a question: `stillFrames` frames one after the other that hardly differ, of something
/// else than what was asked about last. `leastChange`: levels of 0..255, see ``PocketVL/Thumbnail``.
struct SteadyGate {
    var stillFrames = 3
    var leastChange = Thumbnail.changed
    private var previous: Thumbnail?
    private var still = 0
    private var asked: Thumbnail?

    init(stillFrames: Int = 3, leastChange: Int = Thumbnail.changed) {
        self.stillFrames = stillFrames
        self.leastChange = leastChange
    }

    mutating func look(_ frame: Thumbnail) -> Sight {
        let isStill = previous.map { !$0.hasChanged(frame, least: leastChange) } ?? false
        previous = frame
        still = isStill ? still + 1 : 0
        if still < stillFrames - 1 { return .moving }
        if let asked, !asked.hasChanged(frame, least: leastChange) { return .same }
        return .new
    }

    /// The last question was about this.
    mutating func asked(_ frame: Thumbnail) { asked = frame }

    /// Another question: the same sight is worth it.
    mutating func forget() { asked = nil }
}
