#if canImport(SwiftUI) && canImport(UIKit)
    import PocketVL
    import SwiftUI

    /// One question with its answer.
    struct TurnView: View {
        let app: AppModel
        let index: Int
        let turn: Turn

        private var isLast: Bool { index == app.chat.state.turns.count - 1 }

        var body: some View {
            VStack(alignment: .leading, spacing: 8) {
                VStack(alignment: .leading, spacing: 8) {
                    if !turn.question.photos.isEmpty { photos }
                    Text(turn.question.text).textSelection(.enabled)
                }
                .padding(12)
                .background(Color(.secondarySystemBackground), in: RoundedRectangle(cornerRadius: 12))
                .accessibilityElement(children: .contain)
                .accessibilityLabel("Question")
                answer
                if isLast { actions }
            }
        }

        private var photos: some View {
            ScrollView(.horizontal) {
                HStack {
                    ForEach(turn.question.photos, id: \.self) { photo in
                        PhotoThumbnail(app: app, photo: photo).frame(width: 96, height: 96).clipShape(
                            .rect(cornerRadius: 8))
                    }
                }
            }
        }

        @ViewBuilder private var answer: some View {
            if turn.answer.isEmpty && turn.outcome == .answering {
                ProgressView().accessibilityLabel("Answering")
            } else {
                Text(turn.answer).textSelection(.enabled)
            }
            switch turn.outcome {
            case .answering: EmptyView()
            case .failed(let message, _): Label(message, systemImage: "exclamationmark.triangle").foregroundStyle(.red)
            case .finished(let finish): finished(finish)
            }
        }

        @ViewBuilder private func finished(_ finish: Finish) -> some View {
            ForEach(boxes(finish), id: \.photo) { BoxedPhoto(app: app, photo: $0.photo, boxes: $0.boxes) }
            ForEach(finish.notes, id: \.self) { Text($0).font(.footnote).foregroundStyle(.secondary) }
            if let end = Sentences().end(finish.end) { Text(end).font(.footnote).foregroundStyle(.secondary) }
            let line = statisticsLine(finish, Numbers())
            if !line.isEmpty { Text(line).font(.caption).foregroundStyle(.secondary) }
        }

        private var actions: some View {
            HStack {
                Button(turn.isFinished ? "New answer" : "Try again", systemImage: "arrow.clockwise") {
                    app.chat.regenerate()
                }
                .disabled(!app.chat.state.canRegenerate)
                Button("Edit question", systemImage: "pencil") { app.chat.editLast() }
                    .disabled(!app.chat.state.canEdit)
            }
            .labelStyle(.iconOnly)
            .buttonStyle(.bordered)
        }

        /// The photos that boxes are about, each with its boxes.
        private func boxes(_ finish: Finish) -> [(photo: Photo, boxes: [Box])] {
            var found: [(photo: Photo, boxes: [Box])] = []
            for box in finish.boxes {
                guard let photo = app.chat.state.photo(of: index, box) else { continue }
                if let place = found.firstIndex(where: { $0.photo == photo }) {
                    found[place].boxes.append(box)
                } else {
                    found.append((photo, [box]))
                }
            }
            return found
        }
    }
#endif
