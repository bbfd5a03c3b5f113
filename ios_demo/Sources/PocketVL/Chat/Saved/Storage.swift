import Foundation

/// What a session was made with; its system turn is a message.
struct SessionOptions: Sendable, Equatable {
    var minPixels: Int?
    var maxPixels: Int?
    var addVisionID = false
    var stopRepetition = true
}

/// A conversation in a file, to go on with after a restart: without its images, with their embeddings.
///
/// The file is a ``TensorFile``. Its text "conversation" is the JSON that ``write(_:_:)`` makes; its tensors are those
/// of ``StoredSlots`` and, named "cache." and what ``SavesCache`` calls them, keys and values of the first slots. It
/// goes with bundles of the same files alone: another model's embeddings and keys mean nothing. Python and Kotlin read
/// and write the same.
struct SavedChat: Sendable {
    let options: SessionOptions
    let conversation: Conversation
    let cache: SavedCache

    private static let version = 1
    private static let text = "conversation"
    private static let cachePrefix = "cache."
    private static let keys = [
        "version", "bundle", "target", "options", "messages", "tools", "parallel_tool_calls", "turns", "image_sizes",
        "images", "media", "cached_slots",
    ]

    /// Replaces the file, or leaves it as it was. Throws ``PocketVLError/conversation(_:)``.
    func write(_ file: URL, _ manifest: Manifest) throws(PocketVLError) {
        let slots = StoredSlots(conversation.feed)
        var messages: [JSON] = []
        for message in conversation.messages { messages.append(try StoredMessages.stored(message)) }
        let tools = JSON.array(conversation.tools.tools.map(Self.stored)).written() ?? "[]"
        let pixels = [options.minPixels, options.maxPixels].map { $0.map(Self.whole) ?? .null }
        let saved = JSONObject([
            ("version", Self.whole(Self.version)), ("bundle", .string(manifest.contentSha256)),
            ("target", .string(manifest.target)),
            (
                "options",
                .object(
                    JSONObject([
                        ("min_pixels", pixels[0]), ("max_pixels", pixels[1]),
                        ("add_vision_id", .bool(options.addVisionID)),
                        ("stop_repetition", .bool(options.stopRepetition)),
                    ]))
            ),
            ("messages", .array(messages)), ("tools", .string(tools)),
            ("parallel_tool_calls", .bool(conversation.tools.parallel)),
            ("turns", .array((conversation.earlier + [conversation.beginning]).map(Self.stored))),
            ("image_sizes", .array(conversation.imageSizes.map { Self.whole([$0.height, $0.width]) })),
            (
                "images",
                .array(
                    slots.images.map { image in
                        .object(
                            JSONObject([
                                ("key", .string(image.key)),
                                ("grid", Self.whole([image.grid.t, image.grid.h, image.grid.w])),
                            ]))
                    })
            ),
            ("media", Self.whole(slots.media)), ("cached_slots", Self.whole(cache.slots)),
        ])
        let cached = cache.tensors.sorted { Exact($0.key) < Exact($1.key) }.map {
            TensorFile.Named(name: Self.cachePrefix + $0.key, tensor: $0.value)
        }
        let text = JSON.object(saved).written() ?? ""
        try TensorFile(texts: [(Self.text, text)], tensors: slots.tensors + cached).write(file)
    }

    /// What ``write(_:_:)`` wrote with a bundle of the same files. Throws ``PocketVLError/conversation(_:)`` for
    /// anything else.
    static func read(_ file: URL, _ manifest: Manifest) throws(PocketVLError) -> SavedChat {
        let read = try TensorFile.read(file, mostData: mostData(manifest))
        do {
            let object = try StrictObject(parsed(read[text: text] ?? "null"), "the conversation", known: keys)
            return try chat(object, file, read.tensors, manifest)
        } catch {
            if case .conversation = error { throw error }
            var reason = error.message
            if reason.hasSuffix(".") { reason.removeLast() }
            throw .conversation(
                "\(file.path.shortenedPath) is no saved conversation of this pocketvl (\(reason)).")
        }
    }

    private static func parsed(_ text: String) throws(PocketVLError) -> JSON {
        do {
            return try JSON.parse(text)
        } catch {
            throw misfit(error.message)
        }
    }

    /// Bytes of the largest conversation that a bundle's context holds.
    private static func mostData(_ manifest: Manifest) -> Int {
        let text = manifest.geometry.text
        let cache = [text.numLayers, 8, text.numKvHeads, text.headDim].reduce(1, Saturating.product)
        let slot = Saturating.sum(cache, Saturating.sum(Saturating.product(text.hiddenSize, 4), 5 * 8))
        return Saturating.product(manifest.maxContext + 1, slot)
    }

    private static func whole(_ value: Int) -> JSON { .integer(Int64(value)) }

    private static func whole(_ values: [Int]) -> JSON { .array(values.map(whole)) }

    private static func stored(_ tool: Tool) -> JSON {
        .object(
            JSONObject([
                ("name", .string(tool.name)), ("description", .string(tool.description)),
                ("parameters", .object(tool.parameters)),
            ]))
    }

    private static func stored(_ turn: Conversation.Beginning) -> JSON {
        .object(
            JSONObject([
                ("messages", whole(turn.messages)), ("slots", whole(turn.slots)),
                ("image_sizes", whole(turn.imageSizes)), ("answer_start", whole(turn.answerStart)),
            ]))
    }
}

extension SavedChat {
    private static func chat(
        _ object: StrictObject, _ file: URL, _ tensors: [TensorFile.Named], _ manifest: Manifest
    ) throws(PocketVLError) -> SavedChat {
        let version = try object.int("version")
        if version != Self.version {
            throw misfit("it has the version \(version), but this pocketvl reads \(Self.version)")
        }
        let isSame = try object.string("bundle").isExactly(manifest.contentSha256)
        guard try object.string("target").isExactly(manifest.target), isSame else {
            throw .conversation(
                "\(file.path.shortenedPath) was saved with another bundle; open it with that one, or begin anew.")
        }
        func isCached(_ name: String) -> Bool { name.utf8.starts(with: cachePrefix.utf8) }
        let cached = tensors.filter { isCached($0.name) }.map {
            (String($0.name.unicodeScalars.dropFirst(cachePrefix.unicodeScalars.count)), $0.tensor)
        }
        let slots = StoredSlots(
            images: try object.list("images", image), media: try object.list("media", Strict.int),
            tensors: tensors.filter { !isCached($0.name) })
        let feed = try slots.feed(manifest)
        let cachedSlots = try object.int("cached_slots")
        if !(0...feed.count).contains(cachedSlots) || cached.isEmpty != (cachedSlots == 0) {
            throw misfit("its keys and values are of other slots")
        }
        return SavedChat(
            options: try options(object.value("options"), object.place(of: "options")),
            conversation: try conversation(object, feed),
            cache: SavedCache(slots: cachedSlots, tensors: Dictionary(cached) { first, _ in first }))
    }

    private static func image(_ value: JSON, _ place: String) throws(PocketVLError) -> StoredSlots.Image {
        let object = try StrictObject(value, place, known: ["key", "grid"])
        let grid = try object.list("grid", count: 3, Strict.int)
        return StoredSlots.Image(
            key: try object.string("key"), grid: Grid(t: grid[0], h: grid[1], w: grid[2]))
    }

    private static func options(_ value: JSON, _ place: String) throws(PocketVLError) -> SessionOptions {
        let object = try StrictObject(
            value, place, known: ["min_pixels", "max_pixels", "add_vision_id", "stop_repetition"],
            optional: ["min_pixels", "max_pixels"])
        return SessionOptions(
            minPixels: try object.optionalInt("min_pixels"), maxPixels: try object.optionalInt("max_pixels"),
            addVisionID: try object.bool("add_vision_id"), stopRepetition: try object.bool("stop_repetition"))
    }

    private static func conversation(_ object: StrictObject, _ feed: Feed) throws(PocketVLError) -> Conversation {
        let sizes = try object.list("image_sizes", size)
        let messages = try withEmbeddings(try object.list("messages", StoredMessages.message), feed, sizes)
        let tools = try tools(object)
        let turns = try object.list("turns") { (value, place) throws(PocketVLError) in try turn(value, place, tools) }
        let numbers = StoredSlots.mediaNumbers(feed)
        for (index, turn) in turns.enumerated() {
            guard follows(turn, index > 0 ? turns[index - 1] : nil, messages) else {
                throw misfit("its turns are out of order")
            }
            if turn.slots > feed.count || turn.imageSizes > sizes.count {
                throw misfit("a turn is longer than all of them")
            }
            for cut in [turn.answerStart, turn.slots] where (1..<max(1, feed.count)).contains(cut) {
                if numbers[cut - 1] == numbers[cut] && numbers[cut] >= 0 {
                    throw misfit("a turn ends within an image")
                }
            }
        }
        guard let last = turns.last, last.messages == messages.count, last.slots == feed.count,
            last.imageSizes == sizes.count
        else { throw misfit("its turns are not all of it") }
        return Conversation(
            messages, feed, sizes, answerStart: last.answerStart, tools: last.tools, earlier: Array(turns.dropLast()))
    }

    /// Height, width.
    private static func size(_ value: JSON, _ place: String) throws(PocketVLError) -> PixelSize {
        var sides: [Int] = []
        for side in value.asArray ?? [] { sides.append(try Strict.int(side, place)) }
        guard sides.count == 2, sides[0] >= 1, sides[1] >= 1 else { throw misfit("an image has no size") }
        return PixelSize(height: sides[0], width: sides[1])
    }

    private static func turn(
        _ value: JSON, _ place: String, _ tools: ToolSet
    ) throws(PocketVLError) -> Conversation.Beginning {
        let object = try StrictObject(value, place, known: ["messages", "slots", "image_sizes", "answer_start"])
        let slots = try object.int("slots")
        return Conversation.Beginning(
            messages: try object.int("messages"), slots: slots, imageSizes: try object.int("image_sizes"),
            answerStart: try object.int("answer_start"),
            tools: slots > 0 ? tools : .none)  // named with the first question
    }

    /// Whether a turn may come after that one, or at the start of all.
    private static func follows(
        _ turn: Conversation.Beginning, _ before: Conversation.Beginning?, _ messages: [Message]
    ) -> Bool {
        guard (0...messages.count).contains(turn.messages) else { return false }
        guard let before else {
            return messages.prefix(turn.messages).allSatisfy { $0.role == .system }
                && turn.slots == 0 && turn.imageSizes == 0 && turn.answerStart == 0
        }
        return turn.messages > before.messages && messages[turn.messages - 1].role == .assistant
            && turn.answerStart > before.slots && turn.answerStart <= turn.slots
            && turn.imageSizes >= before.imageSizes
    }

    /// Each image has its embeddings as the source.
    private static func withEmbeddings(
        _ messages: [Message], _ feed: Feed, _ sizes: [PixelSize]
    ) throws(PocketVLError) -> [Message] {
        let media = messages.media
        let images = media.count { if case .image = $0 { true } else { false } }
        if media.count != feed.media.count || images != sizes.count {
            throw misfit("its messages have other images than its slots")
        }
        return messages.kept(feed.media, sizes)
    }

    /// Without handlers, which no file holds.
    private static func tools(_ object: StrictObject) throws(PocketVLError) -> ToolSet {
        guard let given = (try? JSON.parse(object.string("tools")))?.asArray else {
            throw misfit("its tools are no list")
        }
        var tools: [Tool] = []
        for (index, value) in given.enumerated() {
            let object = try StrictObject(value, "tools[\(index)]", known: ["name", "description", "parameters"])
            guard let parameters = object.value("parameters").asObject else {
                throw misfit("tools[\(index)].parameters must be an object")
            }
            tools.append(
                try Tool(object.string("name"), description: object.string("description"), parameters: parameters))
        }
        return try ToolSet(tools, parallel: object.bool("parallel_tool_calls"))
    }
}
