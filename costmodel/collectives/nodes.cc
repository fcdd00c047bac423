#include "costmodel/collectives/collectives.h"

namespace moecast {

NodesOf NodesOfGroup(Group group, const Routes& routes) {
  NodesOf n;
  size_t here = 0;  // GPUs seen on the node of group[i]
  n.nodes = 0;
  n.local = 0;
  for (size_t i = 0; i < group.size(); ++i) {
    if (i == 0 || !routes.SameNode(group[i - 1], group[i])) {
      if (n.nodes == 1) n.local = here;
      if (n.nodes > 1 && here != n.local) n.even = false;
      ++n.nodes;
      here = 0;
    }
    ++here;
  }
  if (n.nodes <= 1) n.local = here;
  if (here != n.local) n.even = false;
  return n;
}

}  // namespace moecast
