import Foundation
import Observation
import PocketVL

/// What the device tells the chat screen.
public struct ChatDevice: Sendable {
    let photos: any PhotoReader
    let memory: any MemoryReader
    let thermal: any ThermalReader

    public init(photos: any PhotoReader, memory: any MemoryReader, thermal: any ThermalReader) {
        self.photos = photos
        self.memory = memory
        self.thermal = thermal
    }
}

/// The chat screen: what the user does comes in by the methods, what is shown goes out by ``state``.
///
/// Lives as long as the app's process, so that an answer goes on when another screen is opened.
@MainActor
@Observable
public final class ChatViewModel: ModelUser {
    public private(set) var state = ChatState()

    @ObservationIgnored private let holder: ModelHolder
    @ObservationIgnored private let device: ChatDevice
    @ObservationIgnored private let saved: SavedChats
    @ObservationIgnored private var chat: (any ModelChat)?
    @ObservationIgnored private var chatBundle: InstalledBundle?
    @ObservationIgnored private var answering: Task<Void, Never>?
    @ObservationIgnored private var hasBegun = false
    @ObservationIgnored private var isSaved = true

    public init(holder: ModelHolder, device: ChatDevice, saved: SavedChats) {
        self.holder = holder
        self.device = device
        self.saved = saved
        holder.add(self)
        follow()
    }

    public func type(_ text: String) { happened(.typed(text)) }

    /// Files in the app's folder of photos. Those that cannot be read are told of and left out.
    public func attach(_ files: [String]) async {
        for file in files {
            do {
                happened(.attached(try await device.photos.read(file)))
            } catch {
                happened(.noticed(errorText(error)))
            }
        }
    }

    public func detach(_ photo: Photo) { happened(.detached(photo)) }

    public func send() {
        guard state.canSend else { return }
        let text = state.draft.text.trimmingCharacters(in: .whitespacesAndNewlines)
        ask(Question(text, photos: state.draft.photos), isEdit: state.draft.isEdit)
    }

    /// The draft becomes the last question, to be sent in its place.
    public func editLast() { happened(.editBegan) }

    public func dropEdit() { happened(.editDropped) }

    /// The last answer anew; a question that failed is asked again.
    public func regenerate() {
        guard state.canRegenerate, let last = state.turns.last else { return }
        switch last.outcome {
        case .failed: ask(last.question, isEdit: true)
        case .finished:
            happened(.asked(last.question, isInstead: true))
            answer { $0.regenerate() }
        case .answering: break
        }
    }

    /// What was said so far stays.
    public func stop() {
        guard state.canStop else { return }
        if hasBegun {
            chat?.stop()
        } else {
            answering?.cancel()
            happened(.withdrawn)
        }
    }

    /// Forgets the conversation.
    public func startAnew() async {
        if state.isAnswering { return }
        do {
            try await holder.use { model in
                self.chat = try await model.chat()
                if let bundle = self.chatBundle { self.saved.delete(bundle) }
            }
            isSaved = true
            happened(.restored([]))
        } catch {
            happened(.noticed(errorText(error)))
        }
    }

    public func noticeShown() { happened(.noticeShown) }

    public func notice(_ error: any Error) { happened(.noticed(errorText(error))) }

    /// Writes the conversation to the app's files if it has changed since; for when the app leaves the screen.
    public func save() async {
        if isSaved || state.isAnswering { return }
        // Where the model is closed meanwhile, that has saved it.
        try? await holder.use { _ in await self.saveNow() }
    }

    /// The app leaves the screen: the system forbids work on the GPU there, so the answer ends with what was said.
    public func enteredBackground() async {
        stop()
        await answering?.value
        await save()
    }

    public func stopAnswer() { stop() }

    public func modelReady(_ model: any LoadedModel, _ bundle: InstalledBundle) async {
        var turns: [Turn] = []
        chat = nil
        if let found = saved.find(bundle) {
            do {
                chat = try await model.restore(found.conversation)
                turns = found.turns
            } catch {  // another export of the bundle, or a damaged file
                happened(.noticed(errorText(error)))
            }
        }
        do {
            if chat == nil { chat = try await model.chat() }
        } catch {
            happened(.noticed(errorText(error)))
        }
        chatBundle = bundle
        isSaved = true
        happened(.restored(turns))
    }

    public func modelClosing() async {
        if !isSaved { await saveNow() }
        chat = nil
        chatBundle = nil
        isSaved = true
        happened(.restored([]))
    }

    /// Takes over each change of the model's state.
    private func follow() {
        let model = withObservationTracking {
            holder.state
        } onChange: { [weak self] in
            // Called before the change, so looked at after it.
            Task { @MainActor in self?.follow() }
        }
        happened(.modelChanged(model))
    }

    private func ask(_ question: Question, isEdit: Bool) {
        // The last turn may have failed: then the conversation ends before it, and there is nothing to take back.
        let wasInstead = if case .failed(_, let value) = state.turns.last?.outcome { value } else { true }
        let isInstead = isEdit && wasInstead
        happened(.asked(question, isInstead: isInstead))
        answer { isInstead ? $0.askInstead(question) : $0.ask(question) }
    }

    private func answer(_ events: @escaping @Sendable (any ModelChat) -> AsyncStream<AnswerEvent>) {
        hasBegun = false
        answering = Task {
            do {
                try await holder.use { _ in
                    guard let chat = self.chat else {
                        throw PocketVLError.usage("No conversation is open; start a new one.")
                    }
                    self.hasBegun = true
                    for await event in events(chat) { self.take(event) }
                }
            } catch is CancellationError {
                // Withdrawn already by whoever cancelled it.
            } catch {
                happened(.answerFailed(errorText(error)))
            }
            hasBegun = false
        }
    }

    private func take(_ event: AnswerEvent) {
        switch event {
        case .piece(let text): happened(.said(text))
        case .failed(let message): happened(.answerFailed(message))
        case .completed(let answer):
            if answer.isKept { isSaved = false }
            happened(.answered(answer, device.memory.read(), device.thermal.read()))
        }
    }

    /// While the model is held. What fails is told: the conversation on the screen is not lost by it.
    private func saveNow() async {
        guard let chat, let bundle = chatBundle else { return }
        let turns = state.turns
        do {
            try await saved.save(bundle, turns) { [chat] in try await chat.save(to: $0) }
            isSaved = true
        } catch {
            happened(.noticed(errorText(error)))
        }
    }

    private func happened(_ event: ChatEvent) { state = state.after(event) }
}
