// What the tests of the C interface share: the files, checks that count, and steps of a model.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "pocketvl_executorch.h"

inline std::string bundle, scratch;  // folders
inline int failed = 0;

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

inline Floats wave(size_t count, float scale, float from) {
  Floats values(count);
  for (size_t index = 0; index < count; index++) {
    values[index] = scale * std::sin(from + 0.37F * static_cast<float>(index));
  }
  return values;
}

inline pv_tensor floats(const Floats &values, std::initializer_list<int32_t> sizes) {
  pv_tensor tensor{{PV_FLOAT32, static_cast<int32_t>(sizes.size()), {}}, values.data()};
  std::copy(sizes.begin(), sizes.end(), tensor.type.sizes);
  return tensor;
}

inline pv_type input_type(pv_program *program, const char *method, int index) {
  pv_type types[8]{};
  int32_t count = 0;
  Message error;
  CHECK(pv_inputs(program, method, types, 8, &count, error.text, sizeof error.text) == PV_OK);
  return types[index];
}

/// A step of the decoder over `tokens` tokens; what it gives.
inline Floats decode(pv_program *program, int32_t tokens, int64_t slot) {
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
inline Floats logits(pv_program *program, const Floats &hidden) {
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

// Each is one test; see test_native.cpp.
void methods_and_their_types();
void the_head_leaves_the_cache_alone();
void a_cache_moves_to_another_program();
void wrong_arguments_are_refused();
void closing();
void threads_do_not_disturb_each_other();
void files_that_are_none();
void weights_are_not_mapped_for_long();
void changed_bytes(int times);
