// `moecast calibrate import` of nccl-tests' output: text in, a cluster file with fitted rates and
// the rows as a table, text out.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "scenarios/calibrate/import.h"
#include "topology/cluster.h"

namespace moecast {

struct ImportedTest {
  std::string collective;  // of the table of collectives
  std::string file;
  int ranks = 0, nodes = 0;
  size_t points = 0;
  double mean_error_percent = 0, worst_error_percent = 0;  // of the fit
};

struct ImportedNetwork {
  std::vector<TextFile> files;  // network/cluster.json, network/collectives.csv
  std::vector<std::string> fitted;
  Cluster cluster;
  std::vector<ImportedTest> tests;
  std::vector<std::string> ignored;  // files of collectives that are not modelled
};

// Throws UserError: a broken text, hosts with different numbers of ranks, nothing that is modelled.
ImportedNetwork ImportNetwork(std::span<const TextFile> sources, const Device& measured_on);

}  // namespace moecast
