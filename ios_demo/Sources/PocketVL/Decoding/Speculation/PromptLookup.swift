/// Prompt lookup as a ``Proposer``, for one answer: drafts where they are expected to pay, none elsewhere.
///
/// Each token is compared with what was, or would have been, the first draft: so it is known at all times how good
/// drafts are, at no cost, and an answer that quotes nothing gets none.
public final class PromptLookup: Proposer {
    public private(set) var drafted = 0
    public private(set) var accepted = 0
    private var index: NgramIndex
    private let costs: PassCosts
    private let most: Int
    private var acceptance = Acceptance()
    private var match: Match?
    private var pending: ArraySlice<Int> = []  // drafts that no token has been compared with

    /// - Parameters:
    ///   - prompt: ids before the answer.
    ///   - never: ids that are not drafted.
    ///   - costs: of this device's passes, kept from answer to answer.
    ///   - most: drafts in one pass; nil: as many as ever pay.
    public init(prompt: [Int], never: Set<Int>, costs: PassCosts, most: Int? = nil) {
        index = NgramIndex(prompt, never: never)
        self.costs = costs
        self.most = most ?? DraftLength.lengths.max() ?? 0
        match = index.match()
    }

    public func add(_ token: Int) {
        if let match, let guess = index.draft(match, length: 1).first {
            acceptance.note(match.ngram, wasRight: guess == token)
        }
        if let first = pending.popFirst() {
            if first == token { accepted += 1 } else { pending = [] }
        }
        index.add(token)
        match = index.match()
    }

    public func propose(limit: Int) -> [Int] {
        guard let match, let costs = costs.relative() else { return [] }
        let acceptance = acceptance.probability(match.ngram)
        let length = DraftLength.best(acceptance: acceptance, costs: costs, limit: min(limit, most))
        let drafts = index.draft(match, length: length)
        pending = drafts[...]
        return drafts
    }

    public func notePass(rows: Int, seconds: Double, drafted: Int) {
        costs.note(rows: rows, seconds: seconds)
        self.drafted += drafted
    }
}
