/// A token of an answer.
public struct Choice: Sendable, Equatable {
    public let token: Int
    public let logprobs: Logprobs?
    /// Whether a constraint lets nothing follow it.
    public let isLast: Bool

    public init(token: Int, logprobs: Logprobs? = nil, isLast: Bool = false) {
        self.token = token
        self.logprobs = logprobs
        self.isLast = isLast
    }
}

/// Which tokens may come next, for one answer: told each of its tokens.
public protocol Constraint: AnyObject {
    /// Whether the answer is whole and nothing but its end can follow.
    var isFinished: Bool { get }

    /// (V,): whether each id may come next. One that ends the answer may where it is whole.
    func allowed() throws(PocketVLError) -> [Bool]

    /// `token`, one of those allowed, has come. Throws ``PocketVLError/engine(_:)`` for another one.
    func accept(_ token: Int) throws(PocketVLError)
}

/// What is decided about each token: which one is drawn, under which constraint, and how likely it was.
///
/// For one answer: asked for its tokens in their order, each of them once.
public struct Chooser {
    private var sampler: Sampler
    private let never: Set<Int>
    private let constraint: (any Constraint)?
    private let logprobs: Int

    /// `never`: ids that are not drawn. `logprobs`: alternatives to note at each token; 0 notes nothing. Throws
    /// ``PocketVLError/usage(_:)`` for a number of them out of range.
    public init(
        _ sampler: Sampler, never: Set<Int>, constraint: (any Constraint)? = nil, logprobs: Int = 0
    ) throws(PocketVLError) {
        try Logprobs.check(logprobs)
        self.sampler = sampler
        self.never = never
        self.constraint = constraint
        self.logprobs = logprobs
    }

    /// `logits` (V,); `seen`: ids of prompt and answer so far. Throws ``PocketVLError/engine(_:)``.
    public mutating func choose(_ logits: ArraySlice<Float>, seen: [Int]) throws(PocketVLError) -> Choice {
        var excluded = never
        if let constraint {
            for (id, isAllowed) in try constraint.allowed().enumerated() where !isAllowed { excluded.insert(id) }
        }
        let token = try sampler.sample(logits, seen: seen, never: excluded)
        try constraint?.accept(token)
        let noted = logprobs > 0 ? Logprobs(logits, token: token, count: logprobs, never: never) : nil
        return Choice(token: token, logprobs: noted, isLast: constraint?.isFinished ?? false)
    }
}
