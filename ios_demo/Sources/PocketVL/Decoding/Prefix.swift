/// How much of the KV cache serves a prompt: a value, decided from what the slots hold and what is wanted.
public enum Prefix: Sendable, Equatable {
    /// The first slots stay as they are; what is wanted from there on is fed.
    case reuse(kept: Int)
    /// Everything is fed, from slot 0 on.
    case rebuild(why: Reason)

    public enum Reason: String, Sendable {
        case nothingIsHeld = "nothing is held"
        case anotherBeginning = "another beginning"
        case aSingleToken = "a single token"
    }

    /// Slots that stay.
    public var kept: Int {
        if case .reuse(let kept) = self { kept } else { 0 }
    }

    /// What to do where the cache's slots hold `held` and are to hold `wanted`.
    ///
    /// The last token is fed in any case: the answer begins with its hidden state, which no cache has.
    public static func plan(held: [Slot], wanted: [Slot]) -> Prefix {
        let common = common(held: held, wanted: wanted)
        if held.isEmpty { return .rebuild(why: .nothingIsHeld) }
        if common == 0 { return .rebuild(why: .anotherBeginning) }
        if wanted.count == 1 { return .rebuild(why: .aSingleToken) }
        return .reuse(kept: min(common, wanted.count - 1))
    }

    /// How many of the first slots are equal.
    ///
    /// Equal token ids and image keys from slot 0 on have equal rope positions, too: a key is of the pixels as they
    /// were encoded, which decide how many rows and columns an image takes.
    public static func common(held: [Slot], wanted: [Slot]) -> Int {
        zip(held, wanted).prefix { $0 == $1 }.count
    }
}
