// A sound program: its methods, their arguments, its cache, closing it, threads.
#include <initializer_list>
#include <thread>

#include "support.h"

void methods_and_their_types() {
  const Opened text("text_decoder.pte");
  bool decoder = false, head = false;
  for (int32_t index = 0; index < pv_method_count(text.program); index++) {
    decoder |= std::strcmp(pv_method_name(text.program, index), "text_decoder") == 0;
    head |= std::strcmp(pv_method_name(text.program, index), "lm_head") == 0;
  }
  CHECK(decoder && head);
  CHECK(pv_method_name(text.program, -1) == nullptr && pv_method_name(text.program, 1000) == nullptr);
  CHECK(input_type(text.program, "text_decoder", 3).dtype == PV_INT64);
  int64_t vocabulary = 0, cache = 0;
  CHECK(pv_integer(text.program, "get_vocab_size", &vocabulary, nullptr, 0) == PV_OK);
  CHECK(static_cast<size_t>(vocabulary) == logits(text.program, wave(4096, 1, 0)).size());
  CHECK(pv_integer(text.program, "use_kv_cache", &cache, nullptr, 0) == PV_OK && cache == 1);
  Message error;
  CHECK(pv_integer(text.program, "lm_head", &cache, error.text, sizeof error.text) == PV_FAILED && error.has("takes 1 inputs"));
  CHECK(pv_integer(text.program, "get_eos_ids", &cache, error.text, sizeof error.text) == PV_FAILED);
}

void the_head_leaves_the_cache_alone() {
  const Opened first("text_decoder.pte"), second("text_decoder.pte");
  decode(first.program, 5, 0);
  const Floats undisturbed = decode(first.program, 1, 5);
  decode(second.program, 5, 0);
  for (int times = 0; times < 3; times++) logits(second.program, wave(4096, 3, 1));
  CHECK(decode(second.program, 1, 5) == undisturbed);
  CHECK(decode(second.program, 1, 1) != undisturbed);  // so the cache does matter
}

void a_cache_moves_to_another_program() {
  const Opened from("text_decoder.pte"), to("text_decoder.pte");
  decode(from.program, 6, 0);
  Message error;
  for (int layer = 0;; layer++) {
    const std::string prefix = "layers." + std::to_string(layer) + ".attention.";
    pv_type type{};
    if (pv_buffer(from.program, "text_decoder", (prefix + "k_cache").c_str(), &type, error.text, sizeof error.text)) {
      CHECK(layer > 0 && error.has("has no buffer"));
      break;
    }
    CHECK(type.dtype == PV_FLOAT32 && type.rank == 4);
    const size_t bytes = 6 * static_cast<size_t>(type.sizes[2] * type.sizes[3]) * 4;
    for (const char *part : {"k_cache", "v_cache"}) {
      std::vector<char> kept(bytes);
      CHECK(pv_read_buffer(from.program, "text_decoder", (prefix + part).c_str(), kept.data(), bytes, nullptr, 0) == PV_OK);
      CHECK(pv_write_buffer(to.program, "text_decoder", (prefix + part).c_str(), kept.data(), bytes, nullptr, 0) == PV_OK);
      const size_t more = bytes * static_cast<size_t>(type.sizes[1]);
      CHECK(pv_read_buffer(from.program, "text_decoder", (prefix + part).c_str(), kept.data(), more, error.text,
                           sizeof error.text) == PV_FAILED && error.has("bytes, not"));
    }
  }
  CHECK(decode(to.program, 1, 6) == decode(from.program, 1, 6));
}

void wrong_arguments_are_refused() {
  const Opened text("text_decoder.pte");
  const int32_t width = input_type(text.program, "lm_head", 0).sizes[2];
  const Floats row = wave(static_cast<size_t>(width) * 64, 1, 0);
  Floats out(1 << 16);
  pv_type type{};
  const auto refused = [&](const pv_tensor *inputs, int32_t count, const char *why) {
    Message error;
    return pv_run(text.program, "lm_head", inputs, count, &type, out.data(), out.size() * 4, error.text,
                  sizeof error.text) == PV_FAILED && error.has(why);
  };
  pv_tensor good = floats(row, {1, 1, width});
  CHECK(refused(&good, 0, "takes 1 inputs"));
  CHECK(refused(&good, 2, "takes 1 inputs"));
  CHECK(refused(&good, -1, "takes 1 inputs"));
  CHECK(refused(nullptr, 1, "No inputs"));
  pv_tensor bad = floats(row, {1, width});
  CHECK(refused(&bad, 1, "3 dimensions, not 2"));
  for (const int32_t wrong : {0, -1, width + 1, INT32_MAX}) {
    bad = floats(row, {1, 1, wrong});
    CHECK(refused(&bad, 1, "in dimension 2"));
    bad = floats(row, {1, wrong, width});
    CHECK(refused(&bad, 1, "in dimension 1"));
  }
  bad = good;
  bad.type.dtype = PV_INT64;
  CHECK(refused(&bad, 1, "dtype 6, not 4"));
  bad.type = {PV_FLOAT32, -1, {}};
  CHECK(refused(&bad, 1, "dimensions"));
  bad = good;
  bad.data = nullptr;
  CHECK(refused(&bad, 1, "no data"));
  Message error;
  CHECK(pv_run(text.program, "lm_head", &good, 1, &type, out.data(), 4, error.text, sizeof error.text) == PV_FAILED &&
        error.has("room for 4"));
  CHECK(pv_run(text.program, "forward", &good, 1, &type, out.data(), 4, error.text, sizeof error.text) == PV_FAILED &&
        error.has("no method forward"));
  CHECK(pv_run(text.program, nullptr, &good, 1, &type, out.data(), 4, error.text, sizeof error.text) == PV_FAILED &&
        error.has("null pointer"));
  CHECK(pv_load(nullptr, "lm_head", error.text, 4) == PV_FAILED && std::strcmp(error.text, "A n") == 0);
  CHECK(pv_buffer(text.program, "text_decoder", "nothing", &type, nullptr, 0) == PV_FAILED);
  CHECK(logits(text.program, row).size() > 0);  // and it still runs
}

void closing() {
  pv_program *program = pv_open((bundle + "/text_decoder.pte").c_str(), nullptr, 0);
  CHECK(pv_load(program, "lm_head", nullptr, 0) == PV_OK && pv_load(program, "lm_head", nullptr, 0) == PV_OK);
  pv_close(&program);
  CHECK(program == nullptr);
  pv_close(&program);
  pv_close(nullptr);
  CHECK(pv_method_count(nullptr) == 0 && pv_method_name(nullptr, 0) == nullptr);
}

void threads_do_not_disturb_each_other() {
  CHECK(pv_set_threads(2, nullptr, 0) == PV_OK);
  const Opened shared("text_decoder.pte");
  const Floats hidden = wave(4096, 1, 4), expected = logits(shared.program, hidden);
  int wrong[4] = {};
  std::vector<std::thread> running;
  for (int number = 0; number < 4; number++) {
    running.emplace_back([&, number] {
      const Opened own("text_decoder.pte");
      for (int times = 0; times < 20; times++) {
        pv_program *program = times % 2 ? own.program : shared.program;
        wrong[number] += logits(program, hidden) != expected;
        if (number == 0) wrong[number] += pv_set_threads(1 + times % 2, nullptr, 0) != (times % 2 ? PV_OK : PV_FAILED);
      }
    });
  }
  for (auto &one : running) one.join();
  CHECK(wrong[0] + wrong[1] + wrong[2] + wrong[3] == 0);
  Message error;
  CHECK(pv_set_threads(3, error.text, sizeof error.text) == PV_FAILED && error.has("while methods are loaded"));
  for (const int32_t number : {0, -1, PV_MAX_THREADS + 1}) {
    CHECK(pv_set_threads(number, error.text, sizeof error.text) == PV_FAILED && error.has("give 1..256"));
  }
}
