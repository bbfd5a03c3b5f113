#if canImport(SwiftUI) && canImport(UIKit)
    import PocketVL
    import SwiftUI

    /// An attached image, decoded no larger than it is shown.
    struct PhotoThumbnail: View {
        let app: AppModel
        let photo: Photo
        var longest = 320
        var isFilling = true
        @State private var image: CGImage?

        var body: some View {
            ZStack {
                Color(.tertiarySystemFill)
                if let image {
                    Image(decorative: image, scale: 1)
                        .resizable()
                        .aspectRatio(contentMode: isFilling ? .fill : .fit)
                }
            }
            .accessibilityElement()
            .accessibilityLabel("Image")
            .accessibilityAddTraits(.isImage)
            .task(id: photo) { image = await Self.decode(app.photos.image(photo), longest) }
        }

        /// Off the main thread; nil for an image that is gone.
        private nonisolated static func decode(_ file: PhotoFile, _ longest: Int) async -> CGImage? {
            try? file.thumbnail(longest: longest)
        }
    }

    /// An image with the boxes that an answer names.
    struct BoxedPhoto: View {
        let app: AppModel
        let photo: Photo
        let boxes: [Box]

        var body: some View {
            PhotoThumbnail(app: app, photo: photo, longest: 1280, isFilling: false)
                .aspectRatio(CGFloat(photo.size.width) / CGFloat(max(photo.size.height, 1)), contentMode: .fit)
                .overlay {
                    GeometryReader { view in
                        let letterbox = Letterbox(
                            photo.size, viewWidth: view.size.width, viewHeight: view.size.height)
                        ForEach(Array(boxes.compactMap(letterbox.map).enumerated()), id: \.offset) { _, box in
                            frame(box)
                        }
                    }
                }
                .accessibilityElement()
                .accessibilityLabel(spoken)
                .accessibilityAddTraits(.isImage)
        }

        private func frame(_ box: ViewBox) -> some View {
            ZStack(alignment: .topLeading) {
                // Two strokes, so that the box is seen on any image.
                Rectangle().stroke(.black, lineWidth: 4)
                Rectangle().stroke(.yellow, lineWidth: 2)
                if !box.label.isEmpty {
                    Text(box.label).font(.caption2).padding(2).background(.yellow).foregroundStyle(.black)
                }
            }
            .frame(width: box.right - box.left, height: box.bottom - box.top, alignment: .topLeading)
            .offset(x: box.left, y: box.top)
        }

        private var spoken: String {
            let labels = boxes.map(\.label).filter { !$0.isEmpty }
            let count = boxes.count == 1 ? "1 box" : "\(boxes.count) boxes"
            return labels.isEmpty ? "Image with \(count)" : "Image with \(count): \(labels.joined(separator: ", "))"
        }
    }
#endif
