/// How tokens are drawn; what is nil is the bundle's own choice.
public struct Sampling: Sendable, Equatable {
    /// 0 is greedy, and plain greedy (without a penalty) unless ``repetitionPenalty`` is given, too.
    public var temperature: Double?
    /// 0: no limit.
    public var topK: Int?
    /// 1: no limit.
    public var topP: Double?
    public var repetitionPenalty: Double?
    /// The same seed draws the same tokens.
    public var seed: UInt64?

    /// The likeliest token, always.
    public static let greedy = Sampling(temperature: 0)

    public init(
        temperature: Double? = nil, topK: Int? = nil, topP: Double? = nil, repetitionPenalty: Double? = nil,
        seed: UInt64? = nil
    ) {
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.repetitionPenalty = repetitionPenalty
        self.seed = seed
    }

    /// New for each answer, since it draws. Throws ``PocketVLError/usage(_:)`` for values that cannot be meant.
    func sampler(_ defaults: SamplingDefaults) throws(PocketVLError) -> Sampler {
        try Sampler(
            temperature: temperature ?? defaults.temperature, topK: topK ?? defaults.topK,
            topP: topP ?? defaults.topP,
            repetitionPenalty: repetitionPenalty ?? (temperature == 0 ? 1 : defaults.repetitionPenalty), seed: seed)
    }
}
