/// New messages as the decoder is fed them.
struct EncodedTurn: Sendable {
    /// The new ones.
    let messages: [Message]
    /// The whole conversation up to where the answer begins.
    let feed: Feed
    /// Of all images so far.
    let imageSizes: [PixelSize]
    /// Sentences about new images and videos that were not read by the letter.
    let notes: [String]
}

/// A turn, and the conversation that it follows.
struct FollowingTurn: Sendable {
    let before: Conversation
    let turn: EncodedTurn
}

/// New messages to what the decoder is fed: media encoded, the prompt rendered, every token placed.
struct TurnEncoder: Sendable {
    let manifest: Manifest
    let prompts: PromptEncoder
    let vision: VisionPipeline
    let keepVision: Bool

    /// Videos of a turn for which it is said what would fit.
    private static let mostRemedies = 3

    /// An image as it would be encoded. Throws ``PocketVLError/image(_:)``.
    func measureImage(_ image: any ImageSource) throws(PocketVLError) -> MeasuredImage {
        let grid = try vision.prepare(image).grid
        let side = manifest.geometry.vision.patchSize
        return MeasuredImage(width: grid.w * side, height: grid.h * side, tokens: vision.tokens(grid))
    }

    /// A video as it would be encoded. Throws ``PocketVLError/video(_:)``, ``PocketVLError/prompt(_:)``.
    func measureVideo(_ video: any FrameSource, _ options: VideoOptions) throws(PocketVLError) -> MeasuredVideo {
        let plan = try vision.prepare(video, options).plan
        return MeasuredVideo(
            frames: plan.indices.count, width: plan.size.width, height: plan.size.height,
            tokens: vision.tokens(plan.grid))
    }

    /// Of the prompt that ``encode(_:_:_:)`` would make. Throws what it throws before anything is encoded.
    func countTokens(_ before: Conversation, _ new: [Message]) throws(PocketVLError) -> Int {
        let prepared = try prepareAll(new)
        let new = try new.withThousandths(before.imageSizes + sizes(prepared), earlier: before.imageSizes.count)
        return before.feed.count + (try tokenIDs(before, new, prepared)).count
    }

    /// Whatever can be refused is refused before the first image or frame is encoded; damage within a video is found
    /// when its frames are read. Once cancelled, what is left to encode has no embeddings.
    ///
    /// Throws ``PocketVLError/image(_:)``, ``PocketVLError/prompt(_:)``, ``PocketVLError/context(_:)``,
    /// ``PocketVLError/engine(_:)``, ``PocketVLError/bundle(_:)``.
    func encode(_ before: Conversation, _ new: [Message], _ turn: Turn) throws(PocketVLError) -> EncodedTurn {
        try encode(before, new, prepareAll(new), turn)
    }

    /// A whole conversation, which goes on after the longest part of `held` that it begins with.
    ///
    /// What such a part fed stays by its own ids: those of a text that an answer had need not be the ids that the model
    /// generated. `start` is what comes before all messages. Throws as ``encode(_:_:_:)``.
    func encodeWhole(
        held: Conversation, start: Conversation, _ new: [Message], _ turn: Turn
    ) throws(PocketVLError) -> FollowingTurn {
        let prepared = try prepareAll(new)
        for media in held.feed.media { vision.remember(media) }  // which the cache may have let go
        var next: Conversation? = held
        while let part = next, part.feed.count > 0 {
            next = part.before
            let own = part.messages.count - start.messages.count
            let count = part.feed.media.count
            guard own >= 1, part.tools == start.tools, begins(with: part, start, new, prepared) else { continue }
            let rest = (Array(new.dropFirst(own)), Array(prepared.dropFirst(count)))
            do {
                let encoded = try encode(part, rest.0, rest.1, turn)
                turn.taken.imagesCached += count
                return FollowingTurn(before: part, turn: encoded)
            } catch {
                // A template that rewrites earlier turns: all of it is written anew.
                if case .prompt = error { break }
                throw error
            }
        }
        return FollowingTurn(before: start, turn: try encode(start, new, prepared, turn))
    }

    /// Whether the messages say what `part` says, about equal images. A question follows.
    ///
    /// Whether two videos are equal is known when their frames were read; then the KV cache compares keys.
    private func begins(
        with part: Conversation, _ start: Conversation, _ new: [Message], _ prepared: [PreparedMedia]
    ) -> Bool {
        let count = part.feed.media.count
        guard prepared.count >= count, prepared.prefix(count).allSatisfy({ $0.image != nil }),
            let whole = try? new.withThousandths(sizes(prepared), earlier: 0)
        else { return false }
        let all = start.messages + whole
        let images = prepared.prefix(count).compactMap(\.image)
        return all.count > part.messages.count
            && images.map(\.key) == part.feed.media.map(\.key)
            && images.map(\.sourceSize) == part.imageSizes
            && zip(all, part.messages).allSatisfy { $0.says($1) }
    }

    private func encode(
        _ before: Conversation, _ given: [Message], _ prepared: [PreparedMedia], _ turn: Turn
    ) throws(PocketVLError) -> EncodedTurn {
        let own = sizes(prepared)
        let all = before.imageSizes + own
        let new = try given.withThousandths(all, earlier: before.imageSizes.count)
        let ids = try tokenIDs(before, new, prepared)
        try checkContext(before, ids.count, prepared, turn)
        let media = try encodeMedia(prepared, turn)
        // Without embeddings a prompt is known, but not fed.
        let feed = try Feed(
            ids, media: media, special: manifest.specialTokens,
            merge: manifest.geometry.vision.spatialMergeSize, start: before.feed.nextPosition)
        return EncodedTurn(
            messages: new.kept(media, own), feed: before.feed.then(feed), imageSizes: all,
            notes: prepared.flatMap(\.notes))
    }

    private func sizes(_ prepared: [PreparedMedia]) -> [PixelSize] { prepared.compactMap { $0.image?.sourceSize } }

    private func prepareAll(_ new: [Message]) throws(PocketVLError) -> [PreparedMedia] {
        var prepared: [PreparedMedia] = []
        for part in new.media {
            switch part {
            case .image(let source, let size):
                guard let source else { throw notKept("image") }
                prepared.append(.image(try vision.prepare(source, size)))
            case .video(let source, let options):
                guard let source else { throw notKept("video") }
                prepared.append(.video(try vision.prepare(source, options)))
            case .text, .objectRef, .shape, .call: break  // no media
            }
        }
        return prepared
    }

    private func notKept(_ what: String) -> PocketVLError {
        .prompt("A conversation does not keep this \(what); give it again, or go on after it.")
    }

    /// Those that follow what was fed before.
    private func tokenIDs(
        _ before: Conversation, _ new: [Message], _ prepared: [PreparedMedia]
    ) throws(PocketVLError) -> [Int] {
        let counts = prepared.map { vision.tokens($0.grid) }
        if before.feed.count == 0 {
            let all = ToolFormat.turns(before.messages + new, before.tools)
            return try prompts.encode(all, mediaTokens: counts)
        }
        return try prompts.encodeContinuation(
            history: ToolFormat.turns(before.messages, before.tools),
            following: ToolFormat.turns(new, before.tools, beginning: false), mediaTokens: counts)
    }

    private func checkContext(
        _ before: Conversation, _ newTokens: Int, _ prepared: [PreparedMedia], _ turn: Turn
    ) throws(PocketVLError) {
        let used = before.feed.count
        let needed = used + newTokens
        let limit = manifest.maxContext
        if needed <= limit { return }
        let earlier = used > 0 ? ", \(used) of them from earlier turns" : ""
        throw .context(
            "The prompt needs \(needed) tokens\(earlier), but this bundle's context holds \(limit);"
                + " \(videoRemedies(prepared, spare: limit - needed, turn))shorten it, lower maxPixels, begin a new"
                + " conversation, or export with a larger --max-context.")
    }

    /// What to set so that the videos fit beside all else, with room for an answer.
    private func videoRemedies(_ prepared: [PreparedMedia], spare: Int, _ turn: Turn) -> String {
        let videos = prepared.compactMap(\.video)
        let all = videos.reduce(0) { $0 + vision.tokens($1.grid) }
        let left = all + spare
        let room = left - min(turn.maxTokens, max(0, left) / 4)
        if room <= 0 { return "" }
        return videos.prefix(Self.mostRemedies).map { video in
            let own = vision.tokens(video.grid)
            let settings = vision.settingsThatFit(video, room: Saturating.product(room, own) / all)
            if settings.isEmpty { return "" }
            return "\(video.source.info.name) (\(video.plan.indices.count) frames, \(own) tokens) would fit with"
                + " \(settings.joined(separator: " or ")); "
        }.joined()
    }

    private func encodeMedia(_ prepared: [PreparedMedia], _ turn: Turn) throws(PocketVLError) -> [Media] {
        let watch = Stopwatch()
        var media: [Media] = []
        defer {
            // An encoder that failed would stay otherwise, through turns without new images, too.
            let noneRan = media.count == prepared.count && turn.taken.imagesEncoded + turn.taken.slicesEncoded == 0
            if (!noneRan || turn.isCancelled) && !keepVision { vision.release() }
            turn.taken.visionSeconds = watch.seconds
        }
        for each in prepared { media.append(try encodeOne(each, turn)) }
        return media
    }

    /// Without embeddings once cancelled: the turn then ends before its prompt is fed.
    private func encodeOne(_ prepared: PreparedMedia, _ turn: Turn) throws(PocketVLError) -> Media {
        let nothing = Media(grid: prepared.grid, key: "", embeddings: Matrix(rows: 0, columns: 0))
        if turn.isCancelled { return nothing }
        switch prepared {
        case .image(let image):
            let encoded = try vision.encode(image)
            turn.taken.imagesCached += encoded.cached
            turn.taken.imagesEncoded += 1 - encoded.cached
            return encoded.media
        case .video(let video):
            guard let clip = try vision.encode(video, isCancelled: { turn.isCancelled }) else { return nothing }
            turn.taken.slicesCached += clip.cached
            turn.taken.slicesEncoded += clip.media.grid.t - clip.cached
            return clip.media
        }
    }
}

/// An image or a video of which it is known how many tokens it takes.
private enum PreparedMedia: Sendable {
    case image(PreparedImage)
    case video(PreparedVideo)

    var image: PreparedImage? { if case .image(let image) = self { image } else { nil } }
    var video: PreparedVideo? { if case .video(let video) = self { video } else { nil } }

    var grid: Grid {
        switch self {
        case .image(let image): image.grid
        case .video(let video): video.grid
        }
    }

    var notes: [String] {
        switch self {
        case .image(let image): image.notes
        case .video(let video): video.notes
        }
    }
}
