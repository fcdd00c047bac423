// How far a long computation has come, for whoever wants to show it.
#pragma once

#include <functional>
#include <string>

namespace moecast {

// Called now and then by one thread: what runs, and which part of it is done. An empty function
// where nobody looks.
using ProgressFn = std::function<void(const std::string& what, double part)>;

}  // namespace moecast
