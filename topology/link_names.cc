#include "topology/link_names.h"

#include <algorithm>
#include <vector>

#include "base/error.h"

namespace moecast {
namespace {

std::string NodeName(int node) {
  return "node" + std::to_string(node);
}

// What can fail.
struct Part {
  enum Kind { kLink, kNvswitch, kSwitch, kCable, kBundle } kind;
  int number;
};

std::string PartName(const Cluster& c, Part part) {
  switch (part.kind) {
    case Part::kLink:
      return LinkName(c, part.number);
    case Part::kNvswitch:
      return NodeName(part.number) + ".nvswitch";
    case Part::kSwitch:
      return SwitchName(c.switches.value->tree(), part.number);
    case Part::kCable:
      return CableName(c.switches.value->tree(), part.number);
    case Part::kBundle:
      return BundleName(c.switches.value->tree(), part.number);
  }
  return "";
}

std::vector<Part> PartsOf(const Cluster& c) {
  std::vector<Part> parts;
  const auto add = [&](Part::Kind kind, int count) {
    for (int i = 0; i < count; ++i) parts.push_back({kind, i});
  };
  for (LinkId port = 0; port < c.ports(); ++port)
    if (Exists(c, port)) parts.push_back({Part::kLink, port});
  add(Part::kNvswitch, c.nodes());
  if (c.switches.value) {
    const FatTree& t = c.switches.value->tree();
    add(Part::kSwitch, t.switches());
    add(Part::kCable, 2 * t.cables());
    add(Part::kBundle, BundlesIn(t));
  }
  return parts;
}

// The part called `name` among `parts`.
Part Find(const Cluster& c, std::span<const Part> parts, std::string_view name,
          const std::string& option, const char* expected) {
  std::vector<std::string> names;
  names.reserve(parts.size());
  for (const Part& p : parts) {
    names.push_back(PartName(c, p));
    if (names.back() == name) return p;
  }
  const std::vector<std::string_view> views(names.begin(), names.end());
  throw UserError({.file = option,
                   .value = "\"" + Shortened(name) + "\"",
                   .expected = expected + (" of " + c.name),
                   .hint = Nearest(name, views)});
}

}  // namespace

std::string LinkName(const Cluster& c, LinkId link) {
  if (!IsPort(c, link)) return c.switches.value->NameOf(link - c.ports());
  const int gpu = GpuOf(link);
  return NodeName(c.NodeOf(gpu)) + ".gpu" + std::to_string(gpu % c.gpus_per_node) + "." +
         std::string(NameOf(PortOf(link)));
}

std::string_view LinkKindName(const Cluster& c, LinkId link) {
  if (IsPort(c, link)) return NameOf(PortOf(link));
  const Fabric& fabric = *c.switches.value;
  const bool up = (link - c.ports()) % 2 == 0;
  const Fabric::Link& l = fabric.links()[static_cast<size_t>(link - c.ports())];
  if (std::min(l.from, l.to) < fabric.tree().leaves()) return up ? "leaf-up" : "leaf-down";
  return up ? "spine-up" : "spine-down";
}

LinkId LinkByName(const Cluster& c, std::string_view name, const std::string& option) {
  std::vector<Part> links;
  for (LinkId link = 0; link < NumberOfLinks(c); ++link)
    if (Exists(c, link)) links.push_back({Part::kLink, link});
  return Find(c, links, name, option, "a link").number;
}

Cluster Without(const Cluster& c, std::span<const std::string> names, const std::string& option) {
  if (names.empty()) return c;
  Cluster out = c;
  FabricFailures failures = c.switches.value ? c.switches.value->failures() : FabricFailures{};
  const std::vector<Part> parts = PartsOf(c);
  for (const std::string& name : names) {
    const Part part = Find(c, parts, name, option, "a link or a switch");
    switch (part.kind) {
      case Part::kLink:
        out.cut.push_back(part.number);
        break;
      case Part::kNvswitch:
        for (int gpu = part.number * c.gpus_per_node; gpu < c.gpus && c.NodeOf(gpu) == part.number;
             ++gpu)
          for (const Port port : {Port::kNvlinkOut, Port::kNvlinkIn})
            out.cut.push_back(LinkOf(gpu, port));
        break;
      case Part::kSwitch:
        failures.switches.push_back(part.number);
        // NICs of a leaf lead nowhere.
        for (int gpu = 0; gpu < c.gpus; ++gpu)
          if (c.NicOwner(gpu) == gpu &&
              c.switches.value->tree().LeafOf(c.NodeOf(gpu), c.NicOf(gpu)) == part.number)
            for (const Port port : {Port::kNicOut, Port::kNicIn})
              out.cut.push_back(LinkOf(gpu, port));
        break;
      case Part::kCable:
        failures.cables.push_back(part.number);
        break;
      case Part::kBundle:
        for (int cable = 0; cable < 2 * c.switches.value->tree().cables(); ++cable)
          if (BundleOf(c.switches.value->tree(), cable) == part.number)
            failures.cables.push_back(cable);
        break;
    }
  }
  const auto sort = [](std::vector<int>& v) {
    std::sort(v.begin(), v.end());
    v.erase(std::unique(v.begin(), v.end()), v.end());
  };
  sort(out.cut);
  sort(failures.cables);
  sort(failures.switches);
  if (c.switches.value)
    out.switches = {std::make_shared<const Fabric>(c.switches.value->tree(), std::move(failures))};
  return out;
}

}  // namespace moecast
