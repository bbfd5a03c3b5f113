import Foundation

struct Failure: LocalizedError {
    let errorDescription: String?

    init(_ message: String) { errorDescription = message }
}

struct TensorType: Codable {
    let name: String
    let dtype: String
    let shape: [Int]
}

struct Request: Codable {
    var task: String
    var id: Int?
    var name: String?
    var path: String?
    var state: Int?
    var bytes = 0
}

struct Answer: Codable {
    var id: Int?
    var inputs: [TensorType]?
    var outputs: [TensorType]?
    var states: [TensorType]?
    var error: String?
    var bytes = 0
}

/// tests/swift/coreml_evaluator.py in a process of its own: a line of JSON, and as many raw bytes as it says, each way.
final class Evaluator: @unchecked Sendable {  // all is guarded by the lock
    static let shared = Evaluator()

    private let lock = NSLock()
    private var process: Process?
    private let (input, output) = (Pipe(), Pipe())
    private var rest = Data()

    func ask(_ request: Request, _ data: Data = Data()) throws -> (Answer, Data) {
        lock.lock()
        defer { lock.unlock() }
        try start()
        var request = request
        request.bytes = data.count
        var message = try JSONEncoder().encode(request)
        message.append(UInt8(ascii: "\n"))
        message.append(data)
        try input.fileHandleForWriting.write(contentsOf: message)
        let answer = try JSONDecoder().decode(Answer.self, from: line())
        let bytes = try take(answer.bytes)
        if let error = answer.error { throw Failure(error) }
        return (answer, bytes)
    }

    private func start() throws {
        if process != nil { return }
        guard let python = ProcessInfo.processInfo.environment["POCKETVL_EVALUATOR"] else {
            throw Failure("POCKETVL_EVALUATOR names no Python")
        }
        let repository = (0..<5).reduce(URL(fileURLWithPath: #filePath)) { url, _ in url.deletingLastPathComponent() }
        let started = Process()
        started.executableURL = URL(fileURLWithPath: python)
        started.arguments = ["-m", "tests.swift.coreml_evaluator"]
        started.currentDirectoryURL = repository
        started.standardInput = input
        started.standardOutput = output
        try started.run()
        process = started
    }

    private func line() throws -> Data {
        while true {
            if let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                let line = rest[rest.startIndex..<end]
                rest = Data(rest[(end + 1)...])
                return line
            }
            try more()
        }
    }

    private func take(_ count: Int) throws -> Data {
        while rest.count < count { try more() }
        let taken = rest.prefix(count)
        rest = Data(rest.dropFirst(count))
        return Data(taken)
    }

    private func more() throws {
        let data = output.fileHandleForReading.availableData
        if data.isEmpty { throw Failure("the evaluator ended") }
        rest.append(data)
    }
}
