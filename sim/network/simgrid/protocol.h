// What moecast and moecast-simgrid say to each other, a line each; numbers separated by spaces,
// times in picoseconds, rates in bytes per second. Questions are answered by one line that begins
// with the same word; the other lines have no answer.
//
//   (helper, first)             moecast-simgrid 1
//   links RATE ...              capacities by LinkId; first and once
//   start NOW BYTES N LINK ...  N flows; a link as often as a flow uses it; ids count up from 0
//   capacity NOW LINK RATE
//   next                        next TIME     (-1: never)
//   advance TO                  advance ID ...
//   blocked                     blocked LINK ...
#pragma once

namespace moecast {

inline constexpr char kSimgridGreeting[] = "moecast-simgrid 1";

}  // namespace moecast
