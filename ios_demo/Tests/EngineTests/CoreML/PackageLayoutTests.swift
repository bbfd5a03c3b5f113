import Foundation
import PocketVL
import Testing

@testable import PocketVLCoreML

@Suite struct PackageLayoutTests {
    private let folder = TemporaryFolder()

    private func package(_ manifest: String) throws -> URL {
        let package = folder.url.appendingPathComponent("a.mlpackage")
        try FileManager.default.createDirectory(
            at: package.appendingPathComponent("Data/com.apple.CoreML"), withIntermediateDirectories: true)
        try Data().write(to: package.appendingPathComponent("Data/com.apple.CoreML/model.mlmodel"))
        try Data(manifest.utf8).write(to: package.appendingPathComponent("Manifest.json"))
        return package
    }

    private func manifest(_ path: String) -> String {
        #"{"itemInfoEntries":{"1":{"path":"\#(path)"}},"rootModelIdentifier":"1"}"#
    }

    @Test("the root model is found")
    func sound() throws {
        let package = try package(manifest("com.apple.CoreML/model.mlmodel"))
        #expect(try PackageLayout.model(of: package).lastPathComponent == "model.mlmodel")
    }

    @Test(
        "a path that leaves the package is refused",
        arguments: ["/etc/passwd", "../../x", "a/../../../x", "a\\\\b", "", "link/passwd"])
    func outside(path: String) throws {
        let package = try package(manifest(path))
        try FileManager.default.createSymbolicLink(
            atPath: package.appendingPathComponent("Data/link").path, withDestinationPath: "/etc")
        let error = try refusal { try PackageLayout.model(of: package) }
        #expect(error?.isBundle == true)
        #expect(error?.message.contains("not inside the package") == true)
    }

    @Test(
        "a manifest that is no such thing is refused",
        arguments: ["", "[]", "{", #"{"rootModelIdentifier":1}"#, #"{"rootModelIdentifier":"1","itemInfoEntries":[]}"#])
    func malformed(text: String) throws {
        let package = try package(text)
        #expect(try refusal { try PackageLayout.model(of: package) }?.isBundle == true)
    }

    @Test("missing files are told")
    func missing() throws {
        let package = try package(manifest("com.apple.CoreML/other.mlmodel"))
        #expect(try refusal { try PackageLayout.model(of: package) }?.message.contains("is missing") == true)
        try FileManager.default.removeItem(at: package.appendingPathComponent("Manifest.json"))
        #expect(try refusal { try PackageLayout.model(of: package) }?.message.contains("cannot be read") == true)
    }
}
