import Foundation
import PocketVL

/// A question about one image, in a process that did nothing before.
struct Question: Encodable {
    let runtime = "swift"
    let threads: Int
    let loadSeconds: Double
    let questionSeconds: Double
    let timeToFirstToken: Double
    let visionSeconds: Double
    let promptTokens: Int
    let answerPrefillRate: Double
    let answerDecodeRate: Double
    let tokens: [Int]
    let text: String
    let peakRss: Int

    static func measured(_ wanted: Arguments) async throws -> Question {
        let (loaded, model) = try timed {
            try PocketVL.open(wanted.bundle, engine: Bench.engine, options: LoadOptions(threads: wanted.threads))
        }
        let chat = try model.chat()
        let options = AskOptions(maxTokens: wanted.tokens, sampling: .greedy)
        let began = DispatchTime.now().uptimeNanoseconds
        let answer = try await chat.answer(to: .parts([.image(wanted.image), .text("What is this?")]), options)
        let seconds = Double(DispatchTime.now().uptimeNanoseconds - began) / 1e9
        let measured = Question(
            threads: wanted.threads, loadSeconds: loaded, questionSeconds: seconds,
            timeToFirstToken: answer.statistics.timeToFirstToken, visionSeconds: answer.statistics.visionSeconds,
            promptTokens: answer.promptTokenIDs.count, answerPrefillRate: answer.statistics.prefillRate,
            answerDecodeRate: answer.statistics.decodeRate, tokens: answer.tokenIDs, text: answer.text,
            peakRss: try peakMemory())
        try model.close()
        return measured
    }

    /// Bytes that were resident at most.
    private static func peakMemory() throws -> Int {
        let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM") } ?? ""
        guard let kilobytes = Int(line.filter { $0.isNumber }) else { throw PocketVLError.usage("/proc says no VmHWM.") }
        return kilobytes * 1024
    }
}
