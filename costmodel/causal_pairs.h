// How many query-key pairs causal attention looks at. One convention for all that counts them: a
// query meets every key before it and its own, so the diagonal counts whole. The convention of
// published flops, "half of the square", takes half a pair a query off (FlopsOf in costmodel/op.h).
#pragma once

namespace moecast {

// Pairs of the last `query` tokens of a sequence with the `context` tokens it has at the end. Exact
// for whole numbers, as integers or as doubles below 2^53. REQUIRES: 0 <= query <= context.
template <class Number>
constexpr Number CausalPairs(Number query, Number context) {
  return query * (context - query) + query * (query + 1) / 2;
}

}  // namespace moecast
