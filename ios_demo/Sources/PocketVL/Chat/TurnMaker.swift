/// What a caller says about one question, checked and made into a turn.
struct TurnMaker: Sendable {
    let manifest: Manifest
    /// Ids that are not drawn.
    let never: Set<Int>

    /// Throws ``PocketVLError/usage(_:)`` for options that cannot be meant.
    func turn(_ options: AskOptions, _ cancellation: Cancellation) throws(PocketVLError) -> Turn {
        if options.maxTokens < 1 { throw .usage("max_tokens must be at least 1, not \(options.maxTokens).") }
        let sampler = try options.sampling.sampler(manifest.sampling)
        return Turn(
            try Chooser(sampler, never: never, logprobs: options.logprobs), maxTokens: options.maxTokens,
            stop: try StopStrings(options.stop), tools: try tools(options), lookup: options.lookup, cancellation)
    }

    /// Those that the caller names; nil if it names none.
    private func tools(_ options: AskOptions) throws(PocketVLError) -> ToolSet? {
        guard let given = options.tools else { return nil }
        let tools = try ToolSet(given, parallel: options.parallelToolCalls)
        if !tools.isEmpty && !manifest.chat {
            throw .usage("This bundle's model has no chat template and calls no tools; leave them out.")
        }
        return tools
    }
}
