#include "costmodel/gating/token_mix.h"

#include "base/fields.h"

namespace moecast {

const Fields<TokenMix>& FieldsOf(const TokenMix*) {
  static const Fields<TokenMix> fields(
      "tokens",
      {
          Row("distribution", &TokenMix::distribution,
              "uniform: every expert equally likely; zipf: the r-th most popular expert in "
              "proportion to r^-zipf_exponent; clusters: tokens of a cluster share a popularity of "
              "the experts"),
          Row("zipf_exponent", &TokenMix::zipf_exponent, "exponent of zipf; 0 is uniform",
              {.low = 0, .high = 4}),
          Row("clusters", &TokenMix::clusters, "number of clusters, equally likely",
              {.low = 1, .high = 4096}),
          Row("concentration", &TokenMix::concentration,
              "of the Dirichlet distribution that a cluster's popularity of the experts is drawn "
              "from: less is more skewed",
              {.low = 0.01, .high = 1000}),
          Row("dwell", &TokenMix::dwell, "tokens that a sequence stays in a cluster, on average",
              {.low = 1, .high = 1e9}),
          Row("layer_correlation", &TokenMix::layer_correlation,
              "correlation of an expert's popularity with that of the expert of the same index in "
              "the next layer (zipf: fraction of the experts that keep their rank)",
              {.low = 0, .high = 1}),
      });
  return fields;
}

}  // namespace moecast
