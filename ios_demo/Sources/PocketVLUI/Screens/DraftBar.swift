#if canImport(SwiftUI) && canImport(UIKit)
    import PhotosUI
    import SwiftUI
    import UniformTypeIdentifiers

    /// Where the next question is written.
    struct DraftBar: View {
        let app: AppModel
        @State private var picked: [PhotosPickerItem] = []
        @State private var isTakingPhoto = false

        private var chat: ChatViewModel { app.chat }

        var body: some View {
            VStack(alignment: .leading, spacing: 8) {
                if chat.state.draft.isEdit { edit }
                if !chat.state.draft.photos.isEmpty { photos }
                HStack(alignment: .bottom) {
                    PhotosPicker(selection: $picked, maxSelectionCount: 8, matching: .images) {
                        Label("Attach images", systemImage: "photo.on.rectangle")
                    }
                    if UIImagePickerController.isSourceTypeAvailable(.camera) {
                        Button("Take a photo", systemImage: "camera") { isTakingPhoto = true }
                    }
                    TextField("Ask about the images", text: text, axis: .vertical)
                        .lineLimit(1...5)
                        .textFieldStyle(.roundedBorder)
                    if chat.state.canStop {
                        Button("Stop", systemImage: "stop.circle.fill") { chat.stop() }
                    } else {
                        Button("Send", systemImage: "arrow.up.circle.fill") { chat.send() }
                            .disabled(!chat.state.canSend)
                            .keyboardShortcut(.return, modifiers: .command)
                    }
                }
                .labelStyle(.iconOnly)
                .imageScale(.large)
            }
            .padding()
            .background(.bar)
            .onChange(of: picked) { _, items in
                if items.isEmpty { return }
                picked = []
                Task { await attach(items) }
            }
            .fullScreenCover(isPresented: $isTakingPhoto) {
                PhotoCamera { data in
                    isTakingPhoto = false
                    if let data { Task { await attach(data, ending: "jpg") } }
                }
                .ignoresSafeArea()
            }
        }

        private var edit: some View {
            HStack {
                Text("Takes the place of your last question.").font(.footnote)
                Spacer()
                Button("Leave the question as it was", systemImage: "xmark.circle") { chat.dropEdit() }
                    .labelStyle(.iconOnly)
            }
        }

        private var photos: some View {
            ScrollView(.horizontal) {
                HStack {
                    ForEach(Array(chat.state.draft.photos.enumerated()), id: \.element) { index, photo in
                        PhotoThumbnail(app: app, photo: photo)
                            .frame(width: 72, height: 72)
                            .clipShape(.rect(cornerRadius: 8))
                            .overlay(alignment: .topTrailing) {
                                Button("Remove image \(index + 1)", systemImage: "xmark.circle.fill") {
                                    chat.detach(photo)
                                }
                                .labelStyle(.iconOnly)
                                .frame(minWidth: 44, minHeight: 44, alignment: .topTrailing)
                            }
                    }
                }
            }
        }

        private var text: Binding<String> {
            Binding(get: { chat.state.draft.text }, set: { chat.type($0) })
        }

        private func attach(_ items: [PhotosPickerItem]) async {
            for item in items {
                do {
                    let ending = item.supportedContentTypes.first?.preferredFilenameExtension ?? "image"
                    if let data = try await item.loadTransferable(type: Data.self) {
                        await attach(data, ending: ending)
                    }
                } catch {
                    chat.notice(error)
                }
            }
        }

        private func attach(_ data: Data, ending: String) async {
            do {
                await chat.attach([try await app.photos.add(data, ending: ending)])
            } catch {
                chat.notice(error)
            }
        }
    }

    /// The system's camera, for one photo; nil where the user leaves it without one.
    private struct PhotoCamera: UIViewControllerRepresentable {
        let done: (Data?) -> Void

        func makeCoordinator() -> Coordinator { Coordinator(done) }

        func makeUIViewController(context: Context) -> UIImagePickerController {
            let picker = UIImagePickerController()
            picker.sourceType = .camera
            picker.delegate = context.coordinator
            return picker
        }

        func updateUIViewController(_ picker: UIImagePickerController, context: Context) {}

        final class Coordinator: NSObject, UIImagePickerControllerDelegate, UINavigationControllerDelegate {
            private let done: (Data?) -> Void

            init(_ done: @escaping (Data?) -> Void) { self.done = done }

            func imagePickerController(
                _ picker: UIImagePickerController,
                didFinishPickingMediaWithInfo info: [UIImagePickerController.InfoKey: Any]
            ) {
                // JPEG keeps the orientation as EXIF, which is applied where the file is read.
                done((info[.originalImage] as? UIImage)?.jpegData(compressionQuality: 0.95))
            }

            func imagePickerControllerDidCancel(_ picker: UIImagePickerController) { done(nil) }
        }
    }
#endif
