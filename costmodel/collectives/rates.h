// How far the rate of a link may be off, as the standard deviation of its logarithm.
#pragma once

#include "base/known.h"

namespace moecast {

inline constexpr Known kNvlinkSigma{0.10,
                                    "NCCL's rings inside an H800 node are not published: H100's "
                                    "share of the nominal rate, 344 of 450, gives "
                                    "153 "
                                    "GB/s; DeepEP's kernels fit 138, its README says about 160; "
                                    "NCCL on H100 is within 10% (moecast validate "
                                    "network)"};
inline constexpr Known kNetworkSigma{
    0.10,
    "48-49 GB/s of 50 seen by NCCL over ConnectX-7; DeepEP's kernels fit 45, the first ones 43"};

}  // namespace moecast
