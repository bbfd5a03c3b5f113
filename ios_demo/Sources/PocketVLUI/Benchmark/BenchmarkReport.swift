import PocketVL

/// The device before or after.
public struct Reading: Sendable, Equatable {
    public let memory: Memory
    public let thermal: Thermal
}

/// One run of the benchmark, as it is shared: what was timed, of which bundle, on which kind of device. It says nothing
/// of the user: no name, place, account or number of the device.
///
/// The JSON, version 1, has the keys of the Android app's; those that a system does not have are left out: `schema`
/// "pocketvl-benchmark", `version`, `device` {model, system, cores, memory_bytes}, `bundle` {target, recipe,
/// quantization_method, pocketvl, bytes}, `settings` {repeats, prefill_tokens, decode_tokens}, `load_seconds` {vision,
/// decoder}, `vision` [{patches, tokens, seconds []}], `prefill` {tokens, seconds [], tokens_per_second}, `decode`
/// {seconds [], tokens_per_second}, `before` and `after` {process_bytes, available_bytes, thermal_status,
/// low_power}. Rates are those of the best run of the prompt and of the median token.
public struct BenchmarkReport: Sendable, Equatable {
    public let device: Device
    public let manifest: Manifest
    public let settings: BenchmarkSettings
    public let timings: Timings
    public let before: Reading
    public let after: Reading

    /// Nil where a time is not finite.
    public func json() -> String? { document().written() }

    private func document() -> JSON {
        object([
            ("schema", .string("pocketvl-benchmark")),
            ("version", integer(1)),
            (
                "device",
                object([
                    ("model", .string(device.model)), ("system", .string(device.system)),
                    ("cores", integer(device.cores)), ("memory_bytes", integer(device.memory)),
                ])
            ),
            (
                "bundle",
                object([
                    ("target", .string(manifest.target)), ("recipe", .string(manifest.recipe)),
                    ("quantization_method", .string(manifest.quantizationMethod)),
                    ("pocketvl", .string(manifest.provenance.pocketvl)),
                    ("bytes", integer(manifest.files.map(\.size).reduce(0, +))),
                ])
            ),
            (
                "settings",
                object([
                    ("repeats", integer(settings.repeats)), ("prefill_tokens", integer(settings.prefillTokens)),
                    ("decode_tokens", integer(settings.decodeTokens)),
                ])
            ),
            (
                "load_seconds",
                object([("vision", .double(timings.visionLoad)), ("decoder", .double(timings.decoderLoad))])
            ),
            ("vision", .array(timings.vision.map(vision))),
            (
                "prefill",
                object([
                    ("tokens", integer(timings.prefill.tokens)), ("seconds", seconds(timings.prefill.seconds)),
                    ("tokens_per_second", .double(timings.prefill.rate)),
                ])
            ),
            (
                "decode",
                object([
                    ("seconds", seconds(timings.decode.seconds)),
                    ("tokens_per_second", .double(timings.decode.rate)),
                ])
            ),
            ("before", reading(before)),
            ("after", reading(after)),
        ])
    }

    private func vision(_ times: VisionTimes) -> JSON {
        object([
            ("patches", integer(times.patches)), ("tokens", integer(times.tokens)),
            ("seconds", seconds(times.seconds)),
        ])
    }

    private func reading(_ reading: Reading) -> JSON {
        object([
            ("process_bytes", integer(reading.memory.process)),
            ("available_bytes", integer(reading.memory.available)),
            ("thermal_status", .string(reading.thermal.state.name)),
            ("low_power", .bool(reading.thermal.isLowPower)),
        ])
    }

    private func object(_ members: [(String, JSON)]) -> JSON { .object(JSONObject(members)) }

    private func integer(_ value: Int) -> JSON { .integer(Int64(value)) }

    private func seconds(_ values: [Double]) -> JSON { .array(values.map { .double($0) }) }
}
