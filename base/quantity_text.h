// Quantities as text with units, the form they have in files, on the command line and in reports.
//   bytes     "16MiB" "2GB"            B KB MB GB TB (powers of 1000), KiB MiB GiB TiB (powers of
//             1024)
//   seconds   "18.5ms"                 ps ns us ms s min h d
//   rate      "50GB/s" "400Gb/s"       bytes or bits a second
//   flops     "989TFLOP/s"
//   count     "8.1T" "8.1T tokens"     K M B(illion) T, powers of 1000; plain integers too
// Parsers return no value where the text is not such a quantity: no unit, trailing text, not
// finite.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/units.h"

namespace moecast {

std::optional<double> ParseNumber(std::string_view text);  // the whole text, finite
std::optional<Bytes> ParseBytes(std::string_view text);
std::optional<Seconds> ParseSeconds(std::string_view text);
std::optional<BytesPerSecond> ParseRate(std::string_view text);
std::optional<FlopsPerSecond> ParseFlopRate(std::string_view text);
std::optional<Count> ParseCount(std::string_view text);

// Exact: parsing what these print gives the value back, as short as that allows.
std::string PrintBytes(Bytes b);
std::string PrintSeconds(Seconds s);
std::string PrintRate(BytesPerSecond r);
std::string PrintFlopRate(FlopsPerSecond r);
std::string PrintCount(Count n);

// For people: about `digits` significant digits and a fitting unit.
std::string ShowBytes(Bytes b, int digits = 3);      // binary units: "68.2 GiB"
std::string ShowSeconds(Seconds s, int digits = 3);  // "12.4 ms"
std::string ShowCount(double n, int digits = 4);     // "172.8 K"
std::string ShowNumber(double x, int digits = 3);

}  // namespace moecast
