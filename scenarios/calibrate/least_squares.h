// The least sum of squares over two unknowns that are not negative, by Gauss-Newton with forward
// differences: for residuals that are nearly linear. Leaves out damping: a fit that does not settle
// says so.
#pragma once

#include <array>
#include <functional>
#include <span>

namespace moecast {

using Point = std::array<double, 2>;

struct LeastSquares {
  Point at{};
  int steps = 0;         // taken
  double last_move = 0;  // the larger of both unknowns' in the last step
  bool converged = false;
};

// An unknown that would become negative stays at 0 and the other is fitted alone. Settled is what
// moves by no more than 1e-9 in a step; 50 steps are taken at most.
LeastSquares LeastSquaresOf(std::span<const std::function<double(const Point&)>> residuals,
                            Point start);

}  // namespace moecast
