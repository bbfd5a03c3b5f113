import Foundation
import Testing

@testable import PocketVL

@Suite(.timeLimit(.minutes(5))) struct LiveViewTests {
    private struct Bad: ImageSource {
        let name = "bad.jpg"
        func readSize() -> PixelSize { PixelSize(height: 84, width: 84) }
        func read(for size: PixelSize) throws -> DecodedImage { throw PocketVLError.image("bad.jpg is damaged.") }
    }

    private let chats: Chats
    private let chat: ChatSession
    private let pad: Int

    init() throws {
        chats = try Chats()
        chat = try chats.model().chat(ChatOptions(keepVision: true))
        pad = chats.manifest.specialTokens.imagePad
    }

    @Test("a question is about the newest frame")
    func newest() async throws {
        let view = try await chat.see(frame(10))
        let first = try await view.ask("What?", tokens(3)).answer()
        try view.see(frame(200))
        #expect(try await view.waitForChange(seconds: 60))
        let second = try await view.ask("And now?", tokens(3)).answer()
        #expect((first.statistics.imagesEncoded, second.statistics.imagesEncoded) == (0, 0))
        #expect([first, second].map { $0.promptTokenIDs.count { $0 == pad } } == [9, 9])
        let whole = [
            Message(.user, "What?"), Message(.assistant, first.text),
            Message(.user, [.image(try frame(200)), .text("And now?")]),
        ]
        view.close()
        #expect(try await chat.ask(.messages(whole), tokens(3)).answer().tokenIDs == second.tokenIDs)
    }

    @Test("a frame that shows nothing else is not encoded")
    func unchanged() async throws {
        let view = try await chat.see(frame(100))
        let first = try await view.ask("What?", tokens(3)).answer()
        for level in [104, 97, 100] as [UInt8] {
            try view.see(frame(level))
            try await settle(view)
        }
        #expect(try await !view.waitForChange(seconds: 0))
        let second = try await view.ask("And?", tokens(3)).answer()
        #expect(view.counts == FrameCounts(given: 4, unchanged: 3, encoded: 1))
        #expect(second.statistics.reusedTokens >= first.promptTokenIDs.count)
    }

    @Test("the newest frame alone waits, and one is encoded at a time, while an answer is made")
    func replaced() async throws {
        let gate = Gate()
        let view = try await chat.see(frame(0))
        try await settle(view)
        chats.fake.onEncode = { _ in gate.wait() }
        try view.see(frame(20))
        try await gate.waitUntilEntered()
        for level in stride(from: 40, to: 220, by: 20) { try view.see(frame(UInt8(level))) }
        #expect(view.counts.replaced == 8)
        #expect(try await view.ask("What?", tokens(3)).answer().tokenIDs.isEmpty == false)
        gate.open()
        try await settle(view)
        #expect(view.counts == FrameCounts(given: 11, replaced: 8, encoded: 3))
    }

    @Test("old frames leave and their words stay")
    func leaving() async throws {
        let view = try await chat.live(LiveOptions(maxFrames: 2))
        var counts: [Int] = []
        for level in [10, 60, 110, 160] as [UInt8] {
            try view.see(frame(level))
            #expect(try await view.waitForChange(seconds: 60))
            let answer = try await view.ask("Now \(level)?", tokens(2)).answer()
            counts.append(answer.promptTokenIDs.count { $0 == pad })
        }
        #expect(counts == [9, 18, 18, 18])
        #expect(await chat.conversation.messages.count == 8)
        #expect(await chat.conversation.feed.media.count == 2)
    }

    @Test("the oldest turns leave a full context, and no more stay than are wanted")
    func full() async throws {
        let view = try await chat.see(frame(10))
        var turns: [Int] = []
        for _ in 0..<12 {
            let answer = try await view.ask("What is there to be seen, and is there more than before?", tokens(40))
                .answer()
            #expect(answer.stopReason != .context)
            turns.append(await chat.conversation.messages.count / 2)
        }
        #expect((2...11).contains(turns.max() ?? 0))
        view.close()
        let one = try await chat.live(LiveOptions(maxTurns: 1))
        try one.see(frame(10))
        for _ in 0..<3 { _ = try await one.ask("What?", tokens(2)).answer() }
        #expect(await chat.conversation.messages.count == 4)
    }

    @Test("a bad frame is told once")
    func bad() async throws {
        let view = try await chat.see(Bad())
        #expect(await view.ask("What?").failure()?.isImage == true)
        try view.see(frame(10))
        #expect(try await view.ask("What?", tokens(3)).answer().tokenIDs.isEmpty == false)
        try view.see(Bad())
        #expect(try await refusal { _ = try await view.waitForChange(seconds: 60) }?.isImage == true)
        #expect(try await view.ask("And?", tokens(3)).answer().tokenIDs.isEmpty == false)
    }

    @Test("what cannot be meant is refused")
    func refused() async throws {
        let chat = chat
        #expect(try await refusal { _ = try await chat.live(LiveOptions(maxFrames: 0)) } != nil)
        #expect(try await refusal { _ = try await chat.live(LiveOptions(maxTurns: -1)) } != nil)
        let view = try await chat.live()
        #expect(await view.ask("What?").failure()?.message.contains("call see()") == true)
        #expect(try await refusal { _ = try await chat.live() }?.message.contains("has a live view already") == true)
        view.close()
        #expect(try await !view.waitForChange(seconds: 60))
        #expect(try refusal { try view.see(frame(1)) }?.message.contains("is closed") == true)
        try await chat.see(frame(1)).close()
    }

    @Test("a question that waits for the first frame can be cancelled")
    func waiting() async throws {
        let gate = Gate()
        chats.fake.onEncode = { _ in gate.wait() }
        let view = try await chat.see(frame(10))
        try await gate.waitUntilEntered()
        let task = Task { try await view.ask("What?", tokens(3)).answer() }
        try await Task.sleep(for: .milliseconds(20))
        task.cancel()
        #expect(try await task.value.stopReason == .cancelled)
        gate.open()
        #expect(await chat.conversation.messages.isEmpty)
    }

    @Test("which frames stay")
    func kept() {
        func kept(_ frames: String, _ most: Int) -> String {
            LiveTurn.kept(frames.map { String($0) }, most: most).map { $0 ? "1" : "0" }.joined()
        }
        #expect(kept("", 1) == "")
        #expect(kept("aaa", 1) == "100")
        #expect(kept("ab", 1) == "01")
        #expect(kept("ab", 2) == "11")
        #expect(kept("aabbc", 2) == "00101")
        #expect(kept("aba", 1) == "001")
        #expect(kept("aba", 9) == "111")
    }

    private func frame(_ level: UInt8) throws -> RgbImage {
        try RgbImage(width: 84, height: 84, pixels: [UInt8](repeating: level, count: 3 * 84 * 84))
    }

    private func settle(_ view: LiveView) async throws { try await eventually { view.isIdle } }
}
