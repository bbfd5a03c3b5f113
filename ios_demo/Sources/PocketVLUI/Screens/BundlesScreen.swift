#if canImport(SwiftUI) && canImport(UIKit)
    import SwiftUI
    import UniformTypeIdentifiers

    /// The bundles on this device, and how to get more.
    struct BundlesScreen: View {
        let app: AppModel
        @State private var address = ""
        @State private var isChoosingFolder = false
        @State private var doomed: InstalledBundle?

        private var bundles: BundlesViewModel { app.bundles }

        var body: some View {
            List {
                Section {
                    ForEach(bundles.state.bundles) { row($0) }
                    if bundles.state.bundles.isEmpty { Text("There is no bundle on this device yet.") }
                } footer: {
                    if let free = bundles.state.freeBytes { Text("\(Numbers().gigabytes(free)) GB free") }
                }
                Section {
                    Button("Copy from a folder", systemImage: "folder") { isChoosingFolder = true }
                    if bundles.state.canDownload {
                        TextField("Address of a bundle’s folder", text: $address)
                            .textInputAutocapitalization(.never)
                            .autocorrectionDisabled()
                            .keyboardType(.URL)
                        Button("Download", systemImage: "arrow.down.circle") { bundles.download(address) }
                            .disabled(address.isEmpty)
                    }
                }
                .disabled(bundles.state.work != nil)
                if let work = bundles.state.work { progress(work) }
            }
            .navigationTitle("Bundles")
            .task { await bundles.refresh() }
            .refreshable { await bundles.refresh() }
            .fileImporter(isPresented: $isChoosingFolder, allowedContentTypes: [.folder]) { result in
                switch result {
                case .success(let folder): copy(folder)
                case .failure(let error): bundles.failed(error)
                }
            }
            .confirmationDialog(
                "Delete this bundle and its conversation?", isPresented: isDeleting, titleVisibility: .visible,
                presenting: doomed
            ) { bundle in
                Button("Delete \(bundle.name)", role: .destructive) { bundles.delete(bundle) }
            }
            .alert("Note", isPresented: isNoticed, presenting: bundles.state.message) { _ in
                Button("OK") { bundles.messageShown() }
            } message: {
                Text($0)
            }
        }

        private func row(_ bundle: InstalledBundle) -> some View {
            VStack(alignment: .leading, spacing: 6) {
                Text(bundle.name).font(.headline)
                Text("\(Numbers().gigabytes(bundle.bytes)) GB").font(.footnote).foregroundStyle(.secondary)
                Text(Sentences().model(app.holder.state(of: bundle))).font(.footnote)
                if bundles.state.sound.contains(bundle.id) {
                    Label("All files are sound.", systemImage: "checkmark.seal").font(.footnote)
                }
                HStack {
                    Button("Choose") { bundles.choose(bundle) }
                        .accessibilityLabel("Choose \(bundle.name)")
                    Button("Check") { bundles.check(bundle) }
                        .accessibilityLabel("Check the files of \(bundle.name)")
                    Button("Delete", role: .destructive) { doomed = bundle }
                        .accessibilityLabel("Delete \(bundle.name)")
                }
                .buttonStyle(.bordered)
                .disabled(bundles.state.work != nil)
            }
        }

        private func progress(_ work: Work) -> some View {
            Section {
                Text(Sentences().work(work))
                Button("Cancel", role: .cancel) { bundles.cancel() }
            }
        }

        /// The folder may be read only in between.
        private func copy(_ folder: URL) {
            let isOpen = folder.startAccessingSecurityScopedResource()
            bundles.copy(folder) { if isOpen { folder.stopAccessingSecurityScopedResource() } }
        }

        private var isDeleting: Binding<Bool> {
            Binding(get: { doomed != nil }, set: { if !$0 { doomed = nil } })
        }

        private var isNoticed: Binding<Bool> {
            Binding(get: { bundles.state.message != nil }, set: { if !$0 { bundles.messageShown() } })
        }
    }
#endif
