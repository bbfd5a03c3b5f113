import Foundation
import PocketVL

/// One conversation for each bundle, among the app's files: what the model needs to go on with it, written by the
/// model, and beside it what the screen shows.
public struct SavedChats: Sendable {
    private let folder: URL

    public init(folder: URL) { self.folder = folder }

    /// `conversation` writes the model's part into the file that it gets. Throws what it throws, and what the storage
    /// throws.
    func save(
        _ bundle: InstalledBundle, _ turns: [Turn], _ conversation: @Sendable (URL) async throws -> Void
    ) async throws {
        guard let transcript = Transcript.write(turns) else {
            throw PocketVLError.conversation("The conversation holds a box without finite corners; start a new chat.")
        }
        let files = FileManager.default
        try files.createDirectory(at: folder, withIntermediateDirectories: true)
        let model = modelFile(bundle)
        let temporary = model.appendingPathExtension("new")
        defer { try? files.removeItem(at: temporary) }
        try? files.removeItem(at: temporary)
        try await conversation(temporary)
        // Without its transcript a conversation is not restored: so the two never belong to different chats.
        try removeIfThere(transcriptFile(bundle))
        try removeIfThere(model)
        try files.moveItem(at: temporary, to: model)
        try Data(transcript.utf8).write(to: transcriptFile(bundle), options: .atomic)
    }

    /// The model's file and the turns on the screen, or nil where none is saved or the transcript is damaged.
    func find(_ bundle: InstalledBundle) -> (conversation: URL, turns: [Turn])? {
        let model = modelFile(bundle)
        guard FileManager.default.fileExists(atPath: model.path),
            let bytes = try? Data(contentsOf: transcriptFile(bundle)),
            let turns = Transcript.read(Array(bytes)), !turns.isEmpty
        else { return nil }
        return (model, turns)
    }

    /// The files of all photos that saved conversations show.
    func photoFiles() -> Set<String> {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        let turns = names.filter { $0.hasSuffix(".json") }.flatMap { name in
            let bytes = try? Data(contentsOf: folder.appendingPathComponent(name))
            return bytes.flatMap { Transcript.read(Array($0)) } ?? []
        }
        return Set(turns.flatMap(\.question.photos).map(\.file))
    }

    func delete(_ bundle: InstalledBundle) {
        try? removeIfThere(transcriptFile(bundle))
        try? removeIfThere(modelFile(bundle))
    }

    // The folder's name, not its path: the path changes when the app is updated.
    private func modelFile(_ bundle: InstalledBundle) -> URL { folder.appendingPathComponent("\(bundle.name).chat") }

    private func transcriptFile(_ bundle: InstalledBundle) -> URL {
        folder.appendingPathComponent("\(bundle.name).json")
    }

    private func removeIfThere(_ file: URL) throws {
        if FileManager.default.fileExists(atPath: file.path) { try FileManager.default.removeItem(at: file) }
    }
}
