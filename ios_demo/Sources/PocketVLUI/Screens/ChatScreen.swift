#if canImport(SwiftUI) && canImport(UIKit)
    import Accessibility
    import SwiftUI

    /// The conversation, and what is being written.
    struct ChatScreen: View {
        let app: AppModel
        @State private var isAskingToForget = false

        private var chat: ChatViewModel { app.chat }

        var body: some View {
            ScrollViewReader { scroll in
                ScrollView {
                    LazyVStack(alignment: .leading, spacing: 20) {
                        ModelStateBanner(holder: app.holder)
                        if chat.state.turns.isEmpty {
                            ContentUnavailableView(
                                "Ask about an image", systemImage: "photo",
                                description: Text("Attach an image and ask about it. Nothing leaves this device."))
                        }
                        ForEach(Array(chat.state.turns.enumerated()), id: \.offset) { index, turn in
                            TurnView(app: app, index: index, turn: turn)
                        }
                        Color.clear.frame(height: 1).id(Place.end)
                    }
                    .padding()
                }
                .onChange(of: chat.state.turns.last?.answer) { scroll.scrollTo(Place.end, anchor: .bottom) }
            }
            .safeAreaInset(edge: .bottom) { DraftBar(app: app) }
            .navigationTitle("Chat")
            .navigationBarTitleDisplayMode(.inline)
            .toolbar {
                Button("New chat", systemImage: "square.and.pencil") { isAskingToForget = true }
                    .disabled(chat.state.turns.isEmpty || chat.state.isAnswering)
            }
            .confirmationDialog(
                "Forget this conversation and start a new one?", isPresented: $isAskingToForget,
                titleVisibility: .visible
            ) {
                Button("New chat", role: .destructive) { Task { await chat.startAnew() } }
            }
            .alert("Note", isPresented: isNoticed, presenting: chat.state.notice) { _ in
                Button("OK") { chat.noticeShown() }
            } message: {
                Text($0)
            }
            .modifier(SpokenAnswer(turn: chat.state.turns.last))
        }

        private enum Place { case end }

        private var isNoticed: Binding<Bool> {
            Binding(get: { chat.state.notice != nil }, set: { if !$0 { chat.noticeShown() } })
        }
    }

    /// Tells VoiceOver whole sentences of an answer while it grows.
    private struct SpokenAnswer: ViewModifier {
        let turn: Turn?
        @State private var spoken = SpokenText()

        func body(content: Content) -> some View {
            content.onChange(of: turn) { before, turn in
                guard let turn, before?.outcome == .answering || turn.outcome == .answering else { return }
                let text = spoken.next(turn.answer, isDone: turn.outcome != .answering)
                if !text.isEmpty { AccessibilityNotification.Announcement(text).post() }
                if turn.outcome != .answering { spoken = SpokenText() }
            }
        }
    }
#endif
