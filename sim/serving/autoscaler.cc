#include "sim/serving/autoscaler.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace moecast {
namespace {

constexpr double kTolerance = 0.1;            // --horizontal-pod-autoscaler-tolerance
constexpr int kMostTimes = 2, kMostMore = 4;  // scaleUp: 100% or 4 pods a period, the greater

}  // namespace

Autoscaler::Autoscaler(const Autoscaling& policy, int most, Time begin)
    : policy_(policy),
      lives_(static_cast<size_t>(most)),
      next_decision_(begin + Time::From(policy.interval)) {
  for (int r = 0; r < std::min(policy.min_replicas, most); ++r) {
    Start(r, begin);
    lives_[static_cast<size_t>(r)].state = State::kOpen;
  }
  counts_ = {{begin, there_}};
}

Time Autoscaler::next() const {
  Time next = next_decision_;
  for (const Life& life : lives_)
    if (life.state == State::kStarting) next = std::min(next, life.ready);
  return next;
}

void Autoscaler::Start(int replica, Time now) {
  lives_[static_cast<size_t>(replica)] = {
      .state = State::kStarting, .since = now, .ready = now + Time::From(policy_.startup)};
  ++there_;
  ++taking_;
  counts_.push_back({now, there_});
}

void Autoscaler::SwitchOff(int replica, Time now) {
  Life& life = lives_[static_cast<size_t>(replica)];
  paid_ += (now - life.since).seconds();
  life.state = State::kOff;
  --there_;
  counts_.push_back({now, there_});
}

int Autoscaler::Wanted(Time now, int64_t in_flight) {
  const double ratio = static_cast<double>(in_flight) / (taking_ * policy_.target_requests);
  const int least = std::min(policy_.min_replicas, static_cast<int>(lives_.size()));
  const double most = std::min<double>(static_cast<double>(lives_.size()),
                                       std::max(kMostTimes * taking_, taking_ + kMostMore));
  const double proportional =
      std::fabs(ratio - 1) <= kTolerance ? taking_ : std::ceil(taking_ * ratio);
  const int wanted = static_cast<int>(std::clamp<double>(proportional, least, most));
  while (!wanted_.empty() && wanted_.front().first + Time::From(policy_.stabilization) <= now)
    wanted_.pop_front();
  wanted_.emplace_back(now, wanted);
  if (wanted >= taking_) return wanted;
  int stable = 0;
  for (const auto& [at, then] : wanted_) stable = std::max(stable, then);
  return std::min(stable, taking_);
}

Autoscaler::Changes Autoscaler::Advance(Time to, int64_t in_flight) {
  Changes changes;
  for (size_t r = 0; r < lives_.size(); ++r)
    if (lives_[r].state == State::kStarting && lives_[r].ready <= to) {
      lives_[r].state = State::kOpen;
      changes.opened.push_back(static_cast<int>(r));
    }
  if (to < next_decision_) return changes;
  next_decision_ = next_decision_ + Time::From(policy_.interval);
  const int wanted = Wanted(to, in_flight);
  for (size_t r = 0; r < lives_.size() && taking_ < wanted; ++r)
    if (lives_[r].state == State::kOff) Start(static_cast<int>(r), to);
  // Those that have not begun go first, then the last.
  for (const State state : {State::kStarting, State::kOpen})
    for (size_t r = lives_.size(); r-- > 0 && taking_ > wanted;) {
      if (lives_[r].state != state) continue;
      --taking_;
      if (state == State::kStarting) {
        SwitchOff(static_cast<int>(r), to);
        continue;
      }
      lives_[r].state = State::kClosing;
      closing_.push_back(static_cast<int>(r));
      changes.closed.push_back(static_cast<int>(r));
    }
  return changes;
}

void Autoscaler::Release(int replica, Time now) {
  MOECAST_CHECK(std::erase(closing_, replica) == 1);
  SwitchOff(replica, now);
}

Seconds Autoscaler::Paid(Time end) const {
  Seconds paid = paid_;
  for (const Life& life : lives_)
    if (life.state != State::kOff) paid += (end - life.since).seconds();
  return paid;
}

}  // namespace moecast
