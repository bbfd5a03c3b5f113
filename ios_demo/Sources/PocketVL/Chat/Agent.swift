/// One call and what came of it.
public struct CallRecord: Sendable {
    public let call: ToolCall
    public let outcome: Outcome

    public enum Outcome: Sendable {
        case result(ToolResult)
        /// What the handler threw, or why it was not called.
        case error(String)
    }
}

/// An agent's answer.
public struct AgentAnswer: Sendable {
    /// The last answer's.
    public let text: String
    public let stopReason: StopReason
    /// Whether it calls more often than it may, which is left undone.
    public let isToolLimit: Bool
    /// All of them in order.
    public let answers: [Answer]
    /// Those that were answered.
    public let calls: [CallRecord]
}

/// How an ``Agent`` calls.
public struct AgentOptions: Sendable, Equatable {
    /// In one question, at least 1.
    public var maxCalls: Int
    /// Whether the model may make several calls at once.
    public var parallel: Bool
    /// Whether what handlers throw is let through, instead of telling the model.
    public var throwErrors: Bool

    public init(maxCalls: Int = 8, parallel: Bool = false, throwErrors: Bool = false) {
        self.maxCalls = maxCalls
        self.parallel = parallel
        self.throwErrors = throwErrors
    }
}

/// A chat whose answers may call functions: asks, calls what the answer calls, gives back what they return.
///
///     let agent = try Agent(model.chat(), tools: [weather, takePhoto])
///     print(try await agent.ask(.text("Do I need an umbrella?")).text)
///
/// A handler returns text, an image, or JSON. What it throws is told to the model as text, and so is why a call cannot
/// be made; the model may then try again.
public struct Agent: Sendable {
    private let chat: ChatSession
    private let tools: ToolSet
    private let options: AgentOptions

    /// Throws ``PocketVLError/usage(_:)`` for tools without handlers, or none.
    public init(
        _ chat: ChatSession, tools: [Tool], options: AgentOptions = AgentOptions()
    ) throws(PocketVLError) {
        if let silent = tools.first(where: { $0.handler == nil }) {
            throw .usage("The tool \(silent.name) has no handler to call; give one.")
        }
        if tools.isEmpty || options.maxCalls < 1 {
            throw .usage("An agent needs at least one tool, and maxCalls of at least 1.")
        }
        self.chat = chat
        self.tools = try ToolSet(tools, parallel: options.parallel)
        self.options = options
    }

    /// One user turn, to its final answer. The options hold for each answer. If anything throws, the conversation is as
    /// it was before.
    ///
    /// - Parameters:
    ///   - onText: is called with each piece of each answer's text.
    ///   - onCall: is called after each call.
    /// - Throws: what ``ChatSession/ask(_:_:)-(Content,_)`` fails with, what handlers throw if that is wanted, and
    ///   `CancellationError` where the task is cancelled between answers.
    public func ask(
        _ content: Content, _ asked: AskOptions = AskOptions(), onText: @Sendable (String) async -> Void = { _ in },
        onCall: @Sendable (CallRecord) async -> Void = { _ in }
    ) async throws -> AgentAnswer {
        if asked.tools != nil {
            throw PocketVLError.usage(
                "An agent's tools are given when it is made; leave them out of the options.")
        }
        let before = await chat.conversation
        do {
            return try await run(content, asked, onText, onCall)
        } catch {
            try? await chat.setConversation(before)  // refused only where somebody else asks already
            throw error
        }
    }

    private func run(
        _ content: Content, _ asked: AskOptions, _ onText: @Sendable (String) async -> Void,
        _ onCall: @Sendable (CallRecord) async -> Void
    ) async throws -> AgentAnswer {
        var first = asked
        first.tools = tools.tools
        first.parallelToolCalls = tools.parallel
        var answers = [try await chat.ask(content, first).answer(onText: onText)]
        var records: [CallRecord] = []
        while let last = answers.last, !last.toolCalls.isEmpty {
            if records.count + last.toolCalls.count > options.maxCalls {
                return summary(answers, records, isToolLimit: true)
            }
            var results: [Message] = []
            for call in last.toolCalls {
                try Task.checkCancellation()
                let record = try await record(call)
                records.append(record)
                results.append(Message(.tool, [try part(record)], toolCallID: call.id))
                await onCall(record)
            }
            answers.append(try await chat.ask(.messages(results), asked).answer(onText: onText))
        }
        return summary(answers, records, isToolLimit: false)
    }

    private func summary(_ answers: [Answer], _ records: [CallRecord], isToolLimit: Bool) -> AgentAnswer {
        AgentAnswer(
            text: answers.last?.text ?? "", stopReason: answers.last?.stopReason ?? .stop, isToolLimit: isToolLimit,
            answers: answers, calls: records)
    }

    private func record(_ call: ToolCall) async throws -> CallRecord {
        switch call.arguments {
        case .invalid(let reason): return CallRecord(call: call, outcome: .error(reason))
        case .fitting(let arguments):
            guard let tool = tools[call.name] else {
                return CallRecord(call: call, outcome: .error("There is no tool '\(call.name)'."))
            }
            do {
                return CallRecord(call: call, outcome: .result(try await tool.call(arguments)))
            } catch let error as CancellationError {
                throw error
            } catch {
                if options.throwErrors { throw error }
                let said = (error as? PocketVLError)?.message ?? "\(error)"
                return CallRecord(call: call, outcome: .error(said.isEmpty ? "\(type(of: error))" : said))
            }
        }
    }

    /// A result as a message's content.
    private func part(_ record: CallRecord) throws(PocketVLError) -> Part {
        switch record.outcome {
        case .error(let reason): return .text("Error: \(reason)")
        case .result(.text(let text)): return .text(text)
        case .result(.image(let image)): return .image(image)
        case .result(.json(let value)):
            do {
                return .text(try JSONText.write(value))
            } catch {
                throw .usage(
                    "The tool \(record.call.name) returned JSON that cannot be told to the model (\(error.message));"
                        + " return text, an image, or what JSON can say.")
            }
        }
    }
}
