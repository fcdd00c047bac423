#include "sim/network/agenda.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/random.h"

namespace moecast {
namespace {

TEST(AgendaTest, TheFirstIsTheEarliestWhateverIsMoved) {
  Random random(1);
  Agenda agenda;
  std::map<int32_t, Time> times;
  for (int step = 0; step < 20'000; ++step) {
    const auto id = static_cast<int32_t>(random.Below(100));
    const Time at = random.Below(3) == 0 ? kNever : Time{static_cast<int64_t>(random.Below(1000))};
    agenda.Set(id, at);
    if (at == kNever)
      times.erase(id);
    else
      times[id] = at;
    ASSERT_EQ(agenda.empty(), times.empty());
    if (times.empty()) continue;
    const auto earliest =
        std::ranges::min_element(times, {}, [](const auto& t) { return t.second; });
    ASSERT_EQ(agenda.first().at, earliest->second);
    ASSERT_EQ(agenda.first().at, times.at(agenda.first().id));
  }
}

}  // namespace
}  // namespace moecast
