// All-to-alls written out, for tests that look at each link.
#pragma once

#include "costmodel/collectives/collectives.h"

namespace moecast {

inline Traffic ExpertAllToAll(Group group, Bytes bytes, const TokenSpread& spread,
                              const Routes& routes) {
  return WrittenOut(group, TwoHopAllToAll(group, bytes, spread, routes), routes)[0];
}

}  // namespace moecast
