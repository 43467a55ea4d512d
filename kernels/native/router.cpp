/* Choice of experts. */
#include "descending_sort.h"
#include "exports.h"

#include <math.h>
#include <string.h>

namespace {

constexpr int32_t MAX_EXPERTS = 4096, MAX_GROUPS = 1024;
constexpr float SMALLEST_SUM = 6.103515625e-5f;

/* Softmax with the maximum subtracted; the sum is taken in double. */
void softmax(const float *x, int32_t n, float *out) {
  float top = -INFINITY;
  for (int32_t i = 0; i < n; i++) top = x[i] > top ? x[i] : top;
  double sum = 0;
  for (int32_t i = 0; i < n; i++) {
    out[i] = expf(x[i] - top);
    sum += out[i];
  }
  const float inverse = (float)(1.0 / sum);
  for (int32_t i = 0; i < n; i++) out[i] *= inverse;
}

/* Ids of n scores, best first. */
void order(const float *score, int32_t n, int32_t *ids) {
  for (int32_t i = 0; i < n; i++) ids[i] = i;
  pm::DescendingSort::sort(ids, n, score);
}

} // namespace

void pm_route(const float *logits, int32_t tokens, int32_t experts, int32_t k, int32_t gating, const float *bias,
              int32_t groups, int32_t groups_used, int32_t norm, float scale, int32_t *ids, float *weights) {
  if (experts > MAX_EXPERTS || experts < 1 || k > experts) return;
  float probability[MAX_EXPERTS], score[MAX_EXPERTS];
  int32_t ranking[MAX_EXPERTS];
  for (int32_t t = 0; t < tokens; t++) {
    const float *x = logits + (int64_t)t * experts;
    if (gating == PM_SOFTMAX) softmax(x, experts, probability);
    else if (gating == PM_SIGMOID)
      for (int32_t e = 0; e < experts; e++) probability[e] = 1.0f / (1.0f + expf(-x[e]));
    else memcpy(probability, x, (size_t)experts * 4);
    for (int32_t e = 0; e < experts; e++) {
      score[e] = bias ? probability[e] + bias[e] : probability[e];
      if (score[e] != score[e]) score[e] = -INFINITY;
    }
    if (groups > 1 && groups <= MAX_GROUPS && groups_used < groups) {
      const int32_t size = experts / groups;
      float strength[MAX_GROUPS];
      int32_t best[MAX_GROUPS];
      for (int32_t g = 0; g < groups; g++) {
        const float *s = score + g * size;
        float first = -INFINITY, second = -INFINITY;
        for (int32_t i = 0; i < size; i++) {
          if (s[i] > first) {
            second = first;
            first = s[i];
          } else if (s[i] > second) second = s[i];
        }
        strength[g] = size > 1 ? first + second : first;
      }
      order(strength, groups, best);
      for (int32_t u = groups_used; u < groups; u++)
        for (int32_t e = best[u] * size; e < (best[u] + 1) * size; e++) score[e] = -INFINITY;
    }
    order(score, experts, ranking);
    int32_t *id = ids + (int64_t)t * k;
    float *w = weights + (int64_t)t * k;
    for (int32_t j = 0; j < k; j++) {
      id[j] = ranking[j];
      w[j] = probability[id[j]];
    }
    if (gating == PM_SOFTMAX_SELECTED) softmax(w, k, w);
    if (norm) {
      float sum = 0;
      for (int32_t j = 0; j < k; j++) sum += w[j];
      sum = sum > SMALLEST_SUM ? sum : SMALLEST_SUM;
      for (int32_t j = 0; j < k; j++) w[j] /= sum;
    }
    for (int32_t j = 0; j < k; j++) w[j] *= scale;
  }
}
