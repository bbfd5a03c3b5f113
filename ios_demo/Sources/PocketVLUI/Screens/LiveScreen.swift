#if canImport(SwiftUI) && canImport(UIKit)
    import Accessibility
    import CoreGraphics
    import PocketVL
    import SwiftUI

    /// Answers about what the camera sees, one at a time.
    struct LiveScreen: View {
        let live: LiveViewModel
        @State private var spoken = SpokenText()

        var body: some View {
            ScrollView {
                VStack(alignment: .leading, spacing: 12) {
                    preview
                    HStack {
                        TextField("What to ask about each view", text: question)
                            .textFieldStyle(.roundedBorder)
                        if live.state.isOn {
                            Button("Stop") { live.stop() }
                        } else {
                            Button("Start") { live.start() }.disabled(!live.state.canStart)
                        }
                    }
                    .buttonStyle(.borderedProminent)
                    Text(Sentences().phase(live.state.phase)).font(.footnote).foregroundStyle(.secondary)
                    if let warmth = Sentences().warmth(live.state.warmth) {
                        Label(warmth, systemImage: "thermometer.high").font(.footnote)
                    }
                    Text(live.state.answer)
                        .foregroundStyle(live.state.isOld ? .secondary : .primary)
                        .textSelection(.enabled)
                    if let message = live.state.message {
                        Label(message, systemImage: "exclamationmark.triangle").foregroundStyle(.red)
                    }
                }
                .padding()
            }
            .navigationTitle("Live camera")
            .navigationBarTitleDisplayMode(.inline)
            .onDisappear { live.stop() }
            .onChange(of: live.state.answer) { _, answer in say(answer, isDone: false) }
            .onChange(of: live.state.phase) { before, _ in
                if before == .answering { say(live.state.answer, isDone: true) }
            }
        }

        private var preview: some View {
            ZStack {
                Color.black
                if let frame = live.frame, let image = CGImage.of(frame) {
                    Image(decorative: image, scale: 1).resizable().aspectRatio(contentMode: .fit)
                }
            }
            .aspectRatio(3 / 4, contentMode: .fit)
            .clipShape(.rect(cornerRadius: 12))
            .accessibilityElement()
            .accessibilityLabel("What the camera sees")
        }

        private var question: Binding<String> {
            Binding(get: { live.state.question }, set: { live.type($0) })
        }

        private func say(_ answer: String, isDone: Bool) {
            let text = spoken.next(answer, isDone: isDone)
            if !text.isEmpty { AccessibilityNotification.Announcement(text).post() }
            if isDone { spoken = SpokenText() }
        }
    }

    extension CGImage {
        /// The pixels of a frame; nil where there is no memory for it.
        fileprivate static func of(_ frame: RgbImage) -> CGImage? {
            guard let provider = CGDataProvider(data: Data(frame.pixels) as CFData),
                let space = CGColorSpace(name: CGColorSpace.sRGB)
            else { return nil }
            return CGImage(
                width: frame.width, height: frame.height, bitsPerComponent: 8, bitsPerPixel: 24,
                bytesPerRow: 3 * frame.width, space: space, bitmapInfo: CGBitmapInfo(rawValue: 0), provider: provider,
                decode: nil, shouldInterpolate: true, intent: .defaultIntent)
        }
    }
#endif
