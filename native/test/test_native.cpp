// Tests of the C interface on a real bundle:  test_native BUNDLE_FOLDER SCRATCH_FOLDER
// Built with AddressSanitizer and UndefinedBehaviorSanitizer by build.sh --test.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "pocketvl_executorch.h"

namespace {

std::string bundle, scratch;
int failed = 0;

#define CHECK(condition)                                                       \
  do {                                                                         \
    if (!(condition)) {                                                        \
      std::printf("    %s:%d: not %s\n", __FILE__, __LINE__, #condition);      \
      failed++;                                                                \
    }                                                                          \
  } while (false)

struct Message {
  char text[512] = "";
  bool has(const char *part) const {
    if (std::strstr(text, part) != nullptr) return true;
    std::printf("    the message was: %s\n", text);
    return false;
  }
};

struct Opened {
  explicit Opened(const char *file) : program(pv_open((bundle + "/" + file).c_str(), error.text, sizeof error.text)) {
    if (program == nullptr) std::printf("    %s\n", error.text);
  }
  ~Opened() { pv_close(&program); }
  Message error;
  pv_program *program;
};

using Floats = std::vector<float>;

Floats wave(size_t count, float scale, float from) {
  Floats values(count);
  for (size_t index = 0; index < count; index++) {
    values[index] = scale * std::sin(from + 0.37F * static_cast<float>(index));
  }
  return values;
}

pv_tensor floats(const Floats &values, std::initializer_list<int32_t> sizes) {
  pv_tensor tensor{{PV_FLOAT32, static_cast<int32_t>(sizes.size()), {}}, values.data()};
  std::copy(sizes.begin(), sizes.end(), tensor.type.sizes);
  return tensor;
}

pv_type input_type(pv_program *program, const char *method, int index) {
  pv_type types[8]{};
  int32_t count = 0;
  Message error;
  CHECK(pv_inputs(program, method, types, 8, &count, error.text, sizeof error.text) == PV_OK);
  return types[index];
}

/// A step of the decoder over `tokens` tokens; what it gives.
Floats decode(pv_program *program, int32_t tokens, int64_t slot) {
  const int32_t width = input_type(program, "text_decoder", 0).sizes[2];
  const int32_t head = input_type(program, "text_decoder", 1).sizes[1];
  const auto rows = static_cast<size_t>(tokens);
  const Floats embeddings = wave(rows * static_cast<size_t>(width), 0.05F, static_cast<float>(slot));
  const Floats cosines = wave(rows * static_cast<size_t>(head), 1, 1), sines = wave(rows * static_cast<size_t>(head), 1, 2);
  const pv_tensor inputs[] = {floats(embeddings, {1, tokens, width}), floats(cosines, {tokens, head}),
                              floats(sines, {tokens, head}), {{PV_INT64, 1, {1}}, &slot}};
  Floats hidden(rows * static_cast<size_t>(width));
  pv_type type{};
  Message error;
  const int status = pv_run(program, "text_decoder", inputs, 4, &type, hidden.data(), hidden.size() * 4, error.text,
                            sizeof error.text);
  if (status != PV_OK) std::printf("    %s\n", error.text);
  CHECK(status == PV_OK && type.rank == 3 && type.sizes[1] == tokens && type.sizes[2] == width);
  return hidden;
}

/// The head over one hidden state.
Floats logits(pv_program *program, const Floats &hidden) {
  pv_type given{};
  int32_t count = 0;
  Message error;
  CHECK(pv_outputs(program, "lm_head", &given, 1, &count, error.text, sizeof error.text) == PV_OK && count == 1);
  const int32_t width = input_type(program, "lm_head", 0).sizes[2];
  const Floats row(hidden.end() - width, hidden.end());
  Floats out(static_cast<size_t>(given.sizes[2]));
  const pv_tensor input = floats(row, {1, 1, width});
  CHECK(pv_run(program, "lm_head", &input, 1, &given, out.data(), out.size() * 4, error.text, sizeof error.text) == PV_OK);
  return out;
}

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

std::string contents(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::string written(const std::string &bytes) {
  const std::string path = scratch + "/damaged.pte";
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

void files_that_are_none() {
  Message error;
  CHECK(pv_open((scratch + "/missing.pte").c_str(), error.text, sizeof error.text) == nullptr && error.has("No such file"));
  CHECK(pv_open(scratch.c_str(), error.text, sizeof error.text) == nullptr && error.has("it is no file"));
  CHECK(pv_open(written("").c_str(), error.text, sizeof error.text) == nullptr && error.has("it is empty"));
  CHECK(pv_open(nullptr, error.text, sizeof error.text) == nullptr && error.has("null pointer"));
  CHECK(pv_open(written(std::string(5000, 'x')).c_str(), error.text, sizeof error.text) == nullptr && error.has("no program"));
  const std::string whole = contents(bundle + "/text_decoder.pte");
  for (size_t part = 0; part < 20; part++) {  // cut off at every twentieth
    pv_program *program = pv_open(written(whole.substr(0, whole.size() * part / 20)).c_str(), error.text, sizeof error.text);
    CHECK(program == nullptr || pv_load(program, "text_decoder", error.text, sizeof error.text) == PV_FAILED ||
          pv_load(program, "lm_head", error.text, sizeof error.text) == PV_FAILED);
    pv_close(&program);
  }
}

/// Each in a process of its own, for ExecuTorch may end it: how often, is said. (Bundles are hashed before they are
/// opened.) Before all other tests, since a fork has no threads of a pool that is there already.
void changed_bytes(int times) {
  const std::string whole = contents(bundle + "/text_decoder.pte");
  std::mt19937 random(7);
  int ended = 0, refused = 0;
  std::fflush(stdout);
  for (int time = 0; time < times; time++) {
    std::string changed = whole;
    const size_t reach = time % 2 ? whole.size() : std::min<size_t>(whole.size(), 65536);  // half of them in the program
    for (int byte = 0; byte < 8; byte++) changed[random() % reach] = static_cast<char>(random());
    const std::string path = written(changed);
    const pid_t child = fork();
    if (child == 0) {
      alarm(30);
      if (!std::freopen("/dev/null", "w", stderr) || !std::freopen("/dev/null", "w", stdout)) _exit(1);
      pv_program *program = pv_open(path.c_str(), nullptr, 0);
      if (program == nullptr || pv_load(program, "text_decoder", nullptr, 0) || pv_load(program, "lm_head", nullptr, 0)) _exit(3);
      decode(program, 2, 0);
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    refused += WIFEXITED(status) && WEXITSTATUS(status) == 3;
    ended += !WIFEXITED(status) || (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 3);
  }
  std::printf("    %d damaged files: %d refused, %d ended their process\n", times, refused, ended);
}

}  // namespace

int main(int count, char **arguments) {
  if (count < 3) return 2;
  bundle = arguments[1];
  scratch = arguments[2];
  const std::vector<std::pair<const char *, std::function<void()>>> tests = {
      {"changed bytes", [] { changed_bytes(20); }},
      {"methods and their types", methods_and_their_types},
      {"the head leaves the cache alone", the_head_leaves_the_cache_alone},
      {"a cache moves to another program", a_cache_moves_to_another_program},
      {"wrong arguments are refused", wrong_arguments_are_refused},
      {"closing", closing},
      {"threads do not disturb each other", threads_do_not_disturb_each_other},
      {"files that are none", files_that_are_none},
  };
  int bad = 0;
  for (const auto &[name, test] : tests) {
    const int before = failed;
    test();
    bad += failed > before;
    std::printf("%s  %s\n", failed > before ? "FAILED" : "ok    ", name);
  }
  std::printf("%d passed, %d failed\n", static_cast<int>(tests.size()) - bad, bad);
  return bad > 0;
}
