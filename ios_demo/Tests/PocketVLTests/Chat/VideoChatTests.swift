import Testing

@testable import PocketVL

@Suite struct VideoChatTests {
    private let chats: Chats
    private let model: Model
    private let chat: ChatSession

    init() throws {
        chats = try Chats()
        model = try chats.model()
        chat = try model.chat()
    }

    @Test("a video is encoded slice by slice, and each slice once")
    func slices() async throws {
        let first = try await chat.ask(about(video(6)), tokens(3)).answer()
        #expect((first.statistics.slicesEncoded, first.statistics.slicesCached) == (3, 0))
        let measured = try await chat.measureVideo(video(6), VideoOptions(nframes: 6))
        #expect(measured.frames == 6 && measured.tokens == 3 * measured.width * measured.height / 28 / 28)
        #expect(first.promptTokenIDs.count { $0 == chats.manifest.specialTokens.videoPad } == measured.tokens)
        let again = try await chat.ask(about(video(4)), tokens(3)).answer()
        #expect((again.statistics.slicesEncoded, again.statistics.slicesCached) == (0, 2))
        try await chat.save(to: chats.file("saved"))
        let expected = try await chat.ask("And then?", tokens(5)).answer()
        let restored = try await model.loadChat(chats.file("saved"))
        #expect(try await restored.ask("And then?", tokens(5)).answer().tokenIDs == expected.tokenIDs)
    }

    @Test("a video that is cancelled leaves the conversation, and what was encoded is cached")
    func cancelled() async throws {
        let chat = chat
        chats.fake.onEncode = { if $0 == 2 { chat.cancel() } }
        #expect(try await chat.ask(about(video(6)), tokens(3)).answer().stopReason == .cancelled)
        #expect(await chat.conversation.messages.isEmpty)
        let again = try await chat.ask(about(video(6)), tokens(3)).answer()
        #expect((again.statistics.slicesEncoded, again.statistics.slicesCached) == (1, 2))
    }

    @Test("of a video that is too long it is said what would fit")
    func long() async throws {
        let refused = await chat.ask(try about(video(400))).failure()
        #expect(refused?.message.contains("would fit with") == true)
        #expect(chats.fake.vision.encoded == 0)
    }

    @Test("a video of the history is given anew")
    func history() async throws {
        _ = try await chat.ask(about(video(6)), tokens(3)).answer()
        let messages = await chat.conversation.messages + [Message(.user, "And then?")]
        let refused = await chat.ask(.messages(messages), tokens(3)).failure()
        #expect(refused?.message.contains("does not keep this video") == true)
        let given = [Message(.user, try about(video(6)))] + messages.dropFirst()
        #expect(try await chat.ask(.messages(given), tokens(3)).answer().statistics.slicesEncoded == 0)
    }

    private func video(_ frames: Int) throws -> FrameList {
        let different = try (0..<6).map { try noise(UInt64($0), width: 56, height: 56) }
        return try FrameList((0..<frames).map { different[$0 % 6] })
    }

    private func about(_ video: FrameList) -> [Part] {
        [.video(video, VideoOptions(nframes: video.info.frames)), .text("What happens?")]
    }
}
