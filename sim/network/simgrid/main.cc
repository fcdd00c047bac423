// moecast-simgrid: flows on links by SimGrid 3.32, for SimgridNetwork. Reads protocol.h's lines.
//
// Traps of SimGrid 3.32 that this goes around:
// - CM02 shares a link in proportion to 1/latency: links have no latency.
// - Cross traffic slows acknowledged directions, TCP-gamma bounds a flow's rate: both are switched
//   off.
// - Precisions are absolute or relative 1e-5 by default: finer here, in proportion to a picosecond.
// - A flow is bound for ever by the bandwidths its route has when it starts: meanwhile its links
//   have no bound.
//   (To cancel and start anew under a new bandwidth would not do: what is cancelled keeps its share
//   until the engine has moved on, which then reads communications that may be gone.)
// - A bandwidth of zero leaves flows the end they had: a link without capacity carries kNothing.
// - Explicit routes for every pair of hosts take gigabytes: two hosts, and a zone that answers with
//   the links of the flow that is being started.
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <functional>
#include <map>
#include <simgrid/kernel/resource/Model.hpp>
#include <simgrid/kernel/routing/NetZoneImpl.hpp>
#include <simgrid/s4u.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/line_channel.h"
#include "sim/network/simgrid/protocol.h"

namespace moecast {
namespace {

namespace s4u = simgrid::s4u;
namespace routing = simgrid::kernel::routing;

constexpr double kUnitsPerByte = 1024;  // SimGrid counts whole units
constexpr double kNothing = 1e-6;       // bytes per second
constexpr double kNoBound = 1e30;       // units per second

// One zone of two hosts, between which the route is whatever is asked for.
class FlowZone : public routing::NetZoneImpl {
 public:
  FlowZone() : NetZoneImpl("flows") {}
  std::vector<const s4u::Link*> route;

  void get_graph(const s_xbt_graph_t*, std::map<std::string, xbt_node_t, std::less<>>*,
                 std::map<std::string, xbt_edge_t, std::less<>>*) override {}
  void get_local_route(const routing::NetPoint*, const routing::NetPoint*, routing::Route* into,
                       double*) override {
    for (const s4u::Link* link : route) into->link_list_.push_back(link->get_impl());
  }
};

class Flows {
 public:
  explicit Flows(const std::vector<double>& capacity)
      : capacity_(capacity), users_(capacity.size()) {
    zone_ = new FlowZone;  // the engine's from now on
    s4u::NetZone* zone = zone_->get_iface();
    from_ = zone->create_host("from", 1e9);
    to_ = zone->create_host("to", 1e9);
    for (size_t l = 0; l < capacity.size(); ++l)
      links_.push_back(
          zone->create_link(std::to_string(l), Bandwidth(capacity[l]))->set_latency(0)->seal());
    zone->seal();
  }

  // SimGrid complains of communications that are dropped unfinished.
  ~Flows() {
    for (auto& [id, flow] : unfinished_) Cancel(flow);
  }
  Flows(const Flows&) = delete;
  Flows& operator=(const Flows&) = delete;

  void Start(double now, double bytes, int flows, const std::vector<int>& links) {
    MoveTo(now);
    const long id = started_++;
    const auto units = static_cast<uint64_t>(std::llround(bytes * kUnitsPerByte));
    if (units == 0 || links.empty()) {
      done_.push_back(id);
      return;
    }
    for (const int l : links) ++users_.at(l);
    Launch(unfinished_[id] = {flows, links, {}}, id, units);
  }

  // Called back by SimGrid.
  void Ended(const s4u::Activity& activity) {
    const auto running = running_.find(&activity);
    if (running == running_.end()) return;
    const long id = running->second;
    running_.erase(running);
    Flow& flow = unfinished_.at(id);
    if (--flow.left > 0) return;
    for (const int l : flow.links) --users_[l];
    done_.push_back(id);
    // Kept until SimGrid has returned from here.
    ended_.insert(ended_.end(), flow.comms.begin(), flow.comms.end());
    unfinished_.erase(id);
  }

  // Picoseconds; -1 where nothing ends before Time does.
  int64_t Next() const { return done_.empty() ? NextOfEngine() : std::llround(Now() * 1e12); }

  std::vector<long> Advance(int64_t to) {
    MoveTo(static_cast<double>(to) * 1e-12);
    // What ends in the same picosecond, before or after it is full, ends now.
    size_t ends = running_.size() + 1;  // each run ends at least one communication
    for (int64_t next = NextOfEngine(); next >= 0 && next <= to; next = NextOfEngine()) {
      if (ends-- == 0)
        throw std::runtime_error("SimGrid does not move on at " + std::to_string(to) + " ps");
      Run(Delta());
    }
    ended_.clear();
    std::sort(done_.begin(), done_.end());
    return std::exchange(done_, {});
  }

  void SetCapacity(double now, int link, double rate) {
    MoveTo(now);
    capacity_.at(link) = rate;
    links_.at(link)->set_bandwidth(Bandwidth(rate));
  }

  std::vector<int> Blocked() const {
    std::vector<int> blocked;
    for (size_t l = 0; l < links_.size(); ++l)
      if (capacity_[l] == 0 && users_[l] > 0) blocked.push_back(static_cast<int>(l));
    return blocked;
  }

 private:
  struct Flow {
    int left = 0;  // of its communications
    std::vector<int> links;
    std::vector<s4u::CommPtr> comms;
  };

  static double Bandwidth(double rate) { return std::max(rate, kNothing) * kUnitsPerByte; }
  void Launch(Flow& flow, long id, uint64_t units) {
    zone_->route.clear();
    for (const int l : flow.links) {
      zone_->route.push_back(links_[l]);
      links_[l]->set_bandwidth(kNoBound);
    }
    for (int i = 0; i < flow.left; ++i) {
      flow.comms.push_back(s4u::Comm::sendto_init(from_, to_));
      flow.comms.back()->set_payload_size(units);
      running_[flow.comms.back().get()] = id;
      flow.comms.back()->start();
    }
    for (const int l : flow.links) links_[l]->set_bandwidth(Bandwidth(capacity_[l]));
  }
  void Cancel(Flow& flow) {
    for (const s4u::CommPtr& comm : std::exchange(flow.comms, {})) {
      running_.erase(comm.get());
      comm->cancel();
    }
  }
  static double Now() { return s4u::Engine::get_clock(); }
  static void Run(double delta) { s4u::Engine::get_instance()->run_until(Now() + delta); }
  void MoveTo(double now) {
    if (now > Now()) Run(now - Now());
  }
  // Seconds to the next end; negative where there is none.
  static double Delta() {
    double delta = -1;
    for (simgrid::kernel::resource::Model* model : s4u::Engine::get_instance()->get_all_models())
      if (const double d = model->next_occurring_event(Now()); d >= 0)
        delta = delta < 0 ? d : std::min(delta, d);
    return delta;
  }
  static int64_t NextOfEngine() {
    const double delta = Delta();
    const double end = (Now() + delta) * 1e12;
    return delta < 0 || end > 9.2e18 ? -1 : std::llround(end);
  }

  std::vector<double> capacity_;
  std::vector<int64_t> users_;  // unfinished, by link
  FlowZone* zone_;
  s4u::Host *from_, *to_;
  std::vector<s4u::Link*> links_;
  long started_ = 0;
  std::map<long, Flow> unfinished_;
  std::map<const s4u::Activity*, long> running_;  // the flow of a communication
  std::vector<s4u::CommPtr> ended_;
  std::vector<long> done_;
};

// The words of a line as numbers.
class Words {
 public:
  explicit Words(const std::string& line) : line_(line) {
    at_ = line_.find(' ');
    if (at_ == std::string::npos) at_ = line_.size();
  }
  std::string_view Name() const { return std::string_view(line_).substr(0, line_.find(' ')); }
  template <class Number>
  bool Read(Number& number) {
    while (at_ < line_.size() && line_[at_] == ' ') ++at_;
    const auto [rest, error] =
        std::from_chars(line_.data() + at_, line_.data() + line_.size(), number);
    if (error != std::errc{}) return false;
    at_ = static_cast<size_t>(rest - line_.data());
    return true;
  }
  template <class Number>
  Number Next() {
    Number number{};
    if (!Read(number)) throw std::runtime_error("line not understood: " + line_);
    return number;
  }
  template <class Number>
  std::vector<Number> Rest() {
    std::vector<Number> rest;
    for (Number n{}; Read(n);) rest.push_back(n);
    if (at_ != line_.size()) throw std::runtime_error("line not understood: " + line_);
    return rest;
  }

 private:
  const std::string& line_;
  size_t at_;
};

template <class List>
std::string Answer(std::string_view name, const List& numbers) {
  std::string line(name);
  for (const auto n : numbers) line += " " + std::to_string(n);
  return line + "\n";
}

void Serve(LineChannel& channel) {
  channel.Write(std::string(kSimgridGreeting) + "\n");
  std::string line;
  if (!channel.ReadLine(line)) return;
  Words first(line);
  if (first.Name() != "links") throw std::runtime_error("expected links, not: " + line);
  Flows flows(first.Rest<double>());
  s4u::Comm::on_completion_cb([&flows](const s4u::Activity& activity) { flows.Ended(activity); });
  while (channel.ReadLine(line)) {
    Words words(line);
    if (words.Name() == "start") {
      const auto now = words.Next<int64_t>();
      const auto bytes = words.Next<double>();
      const auto count = words.Next<int>();
      flows.Start(static_cast<double>(now) * 1e-12, bytes, count, words.Rest<int>());
    } else if (words.Name() == "capacity") {
      const auto now = words.Next<int64_t>();
      const auto link = words.Next<int>();
      flows.SetCapacity(static_cast<double>(now) * 1e-12, link, words.Next<double>());
    } else if (words.Name() == "next") {
      channel.Write(Answer("next", std::vector<int64_t>{flows.Next()}));
    } else if (words.Name() == "advance") {
      channel.Write(Answer("advance", flows.Advance(words.Next<int64_t>())));
    } else if (words.Name() == "blocked") {
      channel.Write(Answer("blocked", flows.Blocked()));
    } else {
      throw std::runtime_error("line not understood: " + line);
    }
  }
}

}  // namespace
}  // namespace moecast

int main(int argc, char** argv) {
  // Whoever asked may be gone while SimGrid computes, which nothing gentler interrupts.
  std::thread([] {
    pollfd answers{.fd = STDOUT_FILENO, .events = 0, .revents = 0};
    while (::poll(&answers, 1, -1) < 0 && errno == EINTR) {
    }
    ::raise(SIGKILL);
  }).detach();
  std::string words;
  try {
    std::vector<char*> arguments(argv, argv + argc);
    std::string quiet = "--log=root.thres:error";
    arguments.push_back(quiet.data());
    int count = static_cast<int>(arguments.size());
    arguments.push_back(nullptr);
    simgrid::s4u::Engine engine(&count, arguments.data());
    simgrid::s4u::Engine::set_config("network/model:CM02");
    simgrid::s4u::Engine::set_config("network/crosstraffic:0");
    simgrid::s4u::Engine::set_config("network/TCP-gamma:1e18");
    simgrid::s4u::Engine::set_config("maxmin/precision:1e-9");
    simgrid::s4u::Engine::set_config("surf/precision:1e-13");
    moecast::LineChannel channel(STDIN_FILENO, STDOUT_FILENO);
    moecast::Serve(channel);
    return 0;
  } catch (const std::exception& e) {
    words = std::string("moecast-simgrid: ") + e.what() + "\n";
  }
  return ::write(STDERR_FILENO, words.data(), words.size()) < 0 ? 3 : 2;
}
