/* The order of equal router scores against the original: std::sort of the GNU library, which llama.cpp sorts with. */
#pragma once
#include "../../kernels/include/pocketmoe_kernels.h"
#include "check.h"

#include <math.h>

#include <algorithm>
#include <numeric>
#include <vector>

class RouteChecks {
public:
  static std::vector<Check> all() {
#if defined(__GLIBCXX__)
    return {
        {"route orders few different scores as std::sort does", few_scores},
        {"route orders scores made against quicksort as std::sort does", killers},
    };
#else
    return {}; /* another library's sort orders equal scores differently */
#endif
  }

private:
  using Scores = std::vector<float>;

  static std::string compare(const Scores &scores) {
    const int32_t n = (int32_t)scores.size();
    std::vector<int32_t> wanted(scores.size()), ids(scores.size());
    std::iota(wanted.begin(), wanted.end(), 0);
    std::sort(wanted.begin(), wanted.end(), [&](int32_t a, int32_t b) { return scores[a] > scores[b]; });
    Scores weights(scores.size());
    pm_route(scores.data(), 1, n, n, PM_SOFTMAX_SELECTED, nullptr, 1, 1, 0, 1, ids.data(), weights.data());
    return ids == wanted ? "" : "another order of " + std::to_string(n);
  }

  static std::string few_scores() {
    uint32_t state = 3;
    for (int32_t n = 1; n <= 600; n++)
      for (uint32_t values : {2u, 5u, 40u, (uint32_t)n}) {
        Scores scores((size_t)n);
        for (float &s : scores) s = (float)((state = state * 1664525u + 1013904223u) >> 8) / 16777216.0f;
        for (float &s : scores) s = floorf(s * (float)values);
        if (const std::string wrong = compare(scores); !wrong.empty()) return wrong;
      }
    return "";
  }

  /* Scores that are decided as late as the comparisons allow (McIlroy 1999, "A killer adversary for quicksort"): the
   * quicksort's depth runs out and its heap sort takes over. */
  static Scores killer(int32_t n) {
    Scores scores((size_t)n, -(float)n);
    int32_t decided = 0, candidate = 0;
    const auto open = [&](int32_t id) { return scores[id] == -(float)n; };
    std::vector<int32_t> ids((size_t)n);
    std::iota(ids.begin(), ids.end(), 0);
    std::sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) {
      if (open(a) && open(b)) scores[a == candidate ? a : b] = -(float)decided++;
      if (open(a)) candidate = a;
      else if (open(b)) candidate = b;
      return scores[a] > scores[b];
    });
    return scores;
  }

  static std::string killers() {
    for (int32_t n = 17; n <= 600; n += 7)
      for (float step : {1.0f, 2.0f, 4.0f, 8.0f}) {
        Scores scores = killer(n);
        for (float &s : scores) s = floorf(s / step);
        if (const std::string wrong = compare(scores); !wrong.empty()) return wrong;
      }
    return "";
  }
};
