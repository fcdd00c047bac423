// Measurements that make no table but say something of a calibration's reasoned numbers: kept as
// fits beside them, and where they tell how far one is off, as its error.
#pragma once

#include <span>

#include "costmodel/calibration/calibration.h"
#include "costmodel/calibration/calibration_file.h"
#include "traces/measurements.h"

namespace moecast {

// Four significant digits, as calibrations keep what was fitted.
double FourDigits(double x);

// Fits: shares of `device`'s HBM bandwidth that element-wise kernels of a serving engine reach,
// from the projections-and-norms tables of Vidur: bytes that must move over time and peak, calls of
// 50 us and more, where launches do not matter; and what the smallest take. Throws UserError for a
// missing column or a field that is no number.
void FitElementwise(std::span<const Measurements> profiles, const Device& device,
                    CalibrationFile& file);

// How far `calibration`'s grouped block-scaled GEMMs are from DeepGEMM's published ones, the newest
// of each shape: the median ratio becomes a fit, the mean error the sigma_table of the reasoned
// number. Throws as above.
void CheckGrouped(const Measurements& deepgemm, const Calibration& calibration,
                  CalibrationFile& file);

}  // namespace moecast
