/// An answer, and the conversation with it.
struct Answered: Sendable {
    let answer: Answer
    let conversation: Conversation
}

/// From an encoded turn to its answer: prefill what the KV cache lacks, then token after token.
///
/// Whoever calls it holds the cache's claim meanwhile.
struct Answerer: Sendable {
    let parts: ModelParts
    let stopRepetition: Bool

    private var manifest: Manifest { parts.manifest }

    /// A turn that is cancelled before its first token leaves the conversation as it was: the slots written so far serve
    /// the same turn asked again. Throws ``PocketVLError/context(_:)``, ``PocketVLError/engine(_:)``.
    func answer(
        _ before: Conversation, _ encoded: EncodedTurn, _ turn: Turn, _ send: (Event) -> Void
    ) throws(PocketVLError) -> Answered {
        let whole = encoded.feed
        guard let decoder = try prefill(whole, turn, send) else {
            let nothing = Answer.nothing(
                promptTokenIDs: whole.tokenIDs, nextPosition: before.feed.nextPosition,
                statistics: turn.statistics(), notes: encoded.notes)
            return Answered(answer: nothing, conversation: before)
        }
        let messages = before.messages + encoded.messages
        let calls = ToolStream(
            before.tools, callsBefore: messages.reduce(0) { $0 + $1.calls.count },
            afterResults: messages.last?.role == .tool)
        var built = AnswerBuilder(
            parts.tokenizer, eos: manifest.specialTokens.eos, stop: turn.stop, calls: calls)
        let reason = try generate(decoder, whole, &built, turn, send)
        let start = whole.nextPosition
        let after = Conversation(
            after: before, messages + [Message(.assistant, built.parts())],
            whole.then(Feed(text: built.kept(), start: start)), encoded.imageSizes, answerStart: whole.count)
        let answer = Answer(
            text: built.text, tokenIDs: built.tokens, promptTokenIDs: whole.tokenIDs,
            nextPosition: start + built.tokens.count, stopReason: reason, statistics: turn.statistics(),
            boxes: FoundShape.boxes(built.boxes, in: encoded.imageSizes),
            quads: FoundShape.quads(built.quads, in: encoded.imageSizes), notes: encoded.notes,
            stopString: built.stopString,
            logprobs: turn.logprobs.map { one in
                one.spelled { parts.tokenizer.tokenBytes($0, skipSpecial: false) }
            }, toolCalls: built.toolCalls)
        return Answered(answer: answer, conversation: after)
    }

    /// A decoder that has fed all of it, or nil if cancelled.
    private func prefill(
        _ whole: Feed, _ turn: Turn, _ send: (Event) -> Void
    ) throws(PocketVLError) -> Decoder? {
        if turn.isCancelled { return nil }
        let watch = Stopwatch()
        let kept = parts.engine.text.cache.plan(whole).kept
        turn.taken.reusedTokens = kept
        send(.started(promptTokens: whole.count, reusedTokens: kept))
        if turn.isCancelled { return nil }
        var decoder = Decoder(parts.engine.text, parts.table, manifest)
        let isWhole = try decoder.feed(whole, from: kept) { fed in
            turn.taken.prefillTokens = fed - kept
            turn.taken.prefillSeconds = watch.seconds
            return !turn.isCancelled
        }
        return isWhole && !turn.isCancelled ? decoder : nil
    }

    /// Until a token ends the answer; then why.
    private func generate(
        _ decoder: Decoder, _ whole: Feed, _ built: inout AnswerBuilder, _ turn: Turn, _ send: (Event) -> Void
    ) throws(PocketVLError) -> StopReason {
        let rule = StopRule(
            eos: manifest.specialTokens.eos, maxTokens: turn.maxTokens, room: manifest.maxContext - whole.count,
            repetition: stopRepetition)
        let proposer = turn.lookup ? lookup(whole) : nil
        var generation = Generation(
            decoder, turn.chooser, prompt: whole.tokenIDs, most: rule.most, proposer: proposer)
        var reason: StopReason?
        while reason == nil {
            let choice = try generation.next()
            turn.tokenDone(choice)
            let piece = built.push(choice.token)
            if !piece.isEmpty { send(.text(piece)) }
            reason = rule.reason(built.tokens, cancelled: turn.isCancelled, isWhole: built.isStopped)
        }
        if let proposer {
            turn.taken.draftedTokens = proposer.drafted
            turn.taken.acceptedTokens = proposer.accepted
        }
        let piece = built.finish()
        if !piece.isEmpty { send(.text(piece)) }
        if reason == .stop && !built.toolCalls.isEmpty { return .toolCalls }
        return reason ?? .stop
    }

    /// Drafts nothing that stands for an image, ends an answer, or is no token.
    private func lookup(_ whole: Feed) -> PromptLookup {
        let special = manifest.specialTokens
        let never = parts.never.union([special.imagePad, special.videoPad] + special.eos)
        let most = min(DraftLength.lengths.max() ?? 0, manifest.prefillChunk - 1)
        return PromptLookup(prompt: whole.tokenIDs, never: never, costs: parts.engine.costs, most: most)
    }
}
