// Tests of the C interface on a real bundle:  test_native BUNDLE_FOLDER SCRATCH_FOLDER
// Built with AddressSanitizer and UndefinedBehaviorSanitizer by build.sh --test.
#include <functional>
#include <utility>

#include "support.h"

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
      {"weights are not mapped for long", weights_are_not_mapped_for_long},
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
