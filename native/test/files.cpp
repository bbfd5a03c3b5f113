// Files that are no program, or a damaged one.
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <random>

#include "support.h"

namespace {

std::string contents(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::string written(const std::string &bytes) {
  const std::string path = scratch + "/damaged.pte";
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

/// Bytes of the bundle's decoder file that this process maps.
size_t mapped() {
  std::ifstream mappings("/proc/self/maps");
  size_t bytes = 0;
  for (std::string line; std::getline(mappings, line);) {
    size_t first = 0, last = 0;
    if (line.find("/text_decoder.pte") == std::string::npos) continue;
    if (std::sscanf(line.c_str(), "%zx-%zx", &first, &last) == 2) bytes += last - first;
  }
  return bytes;
}

}  // namespace

void weights_are_not_mapped_for_long() {
  const size_t whole = contents(bundle + "/text_decoder.pte").size();
  {
    const Opened text("text_decoder.pte");
    CHECK(pv_load(text.program, "lm_head", nullptr, 0) == PV_OK && pv_load(text.program, "text_decoder", nullptr, 0) == PV_OK);
    const size_t left = mapped();
    std::printf("    %zu of %zu bytes stay mapped\n", left, whole);
    CHECK(left > 0 && left < whole / 2);  // the program itself stays
    CHECK(!decode(text.program, 2, 0).empty());
  }
  CHECK(mapped() == 0);
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
