// moecast calibrate: import measured tables into calibrations, check how good their estimates are.
#include <algorithm>
#include <filesystem>
#include <memory>

#include "base/error.h"
#include "base/file.h"
#include "cli/command.h"
#include "scenarios/calibrate/check.h"
#include "scenarios/calibrate/import.h"
#include "scenarios/calibrate/network_import.h"
#include "scenarios/calibrate/whole_step_fit.h"
#include "scenarios/cluster_loader.h"
#include "traces/nccl_tests.h"
#include "viz/table.h"

namespace moecast {
namespace {

struct Sources {
  std::vector<TextFile> tables;      // .csv
  std::vector<TextFile> nccl_tests;  // .txt, .log and .out that nccl-tests printed
};

// Everything below the folder, by name; a file alone is read whatever its name.
Sources ReadSources(const std::string& folder) {
  namespace fs = std::filesystem;
  std::vector<fs::path> paths;
  std::error_code error;
  if (fs::is_regular_file(folder, error)) {
    paths.push_back(folder);
  } else {
    for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end;
         at.increment(error))
      if (at->is_regular_file()) paths.push_back(at->path());
  }
  if (error)
    throw UserError(
        {.file = folder, .value = error.message(), .expected = "a directory of measured tables"});
  std::sort(paths.begin(), paths.end());
  Sources sources;
  for (const fs::path& path : paths) {
    const fs::path kind = path.extension();
    if (kind == ".csv") {
      sources.tables.push_back({path.filename().string(), ReadFile(path.string())});
    } else if (kind == ".txt" || kind == ".log" || kind == ".out" || paths.size() == 1) {
      TextFile file{path.filename().string(), ReadFile(path.string())};
      if (LooksLikeNcclTest(file.text) || paths.size() == 1)
        sources.nccl_tests.push_back(std::move(file));
    }
  }
  return sources;
}

void WriteFiles(const std::string& out, const std::vector<TextFile>& files) {
  for (const TextFile& file : files) {
    const std::filesystem::path path = std::filesystem::path(out) / file.path;
    std::error_code error;
    std::filesystem::create_directories(path.parent_path(), error);
    if (error)
      throw UserError({.file = path.parent_path().string(),
                       .value = error.message(),
                       .expected = "a directory that can be made"});
    WriteFile(path.string(), file.text);
  }
}

Json TableJson(const std::string& name, const std::string& stack, size_t points, const LeftOut& l,
               const Disagreement& compared) {
  Json bands = Json::array();
  for (const LeftOutBand& b : l.bands)
    bands.push_back({{"from", b.from},
                     {"to", b.to < 1e300 ? Json(b.to) : Json()},
                     {"points", b.points},
                     {"left_out_mape_percent", b.mape_percent},
                     {"inverse_distance_mape_percent", b.inverse_distance_mape_percent}});
  return {{"operator", name},
          {"stack", stack},
          {"points", points},
          {"left_out_mape_percent", l.mape_percent},
          {"left_out_p90_percent", l.p90_percent},
          {"inverse_distance_mape_percent", l.inverse_distance_mape_percent},
          {"coverage_percent", l.coverage.points_percent},
          {"curve_coverage_percent", l.coverage.curves_percent},
          {"table_coverage_percent", compared.points ? Json(compared.coverage_percent) : Json()},
          {"sigma_curve", l.levels.curve},
          {"sigma_own", l.levels.own},
          {"sigma_table", compared.points ? Json(compared.sigma) : Json()},
          {"bands", bands}};
}

const Rows kHeader = {{"table", "of", "points", "mean", "p90", "by inverse distance",
                       "points inside", "curves", "other table"}};

std::vector<std::string> TableRow(const std::string& name, size_t points, const LeftOut& l,
                                  const Disagreement& compared) {
  return {name,
          "all",
          Printf("%zu", points),
          Printf("%.1f%%", l.mape_percent),
          Printf("%.1f%%", l.p90_percent),
          Printf("%.1f%%", l.inverse_distance_mape_percent),
          Printf("%.0f%%", l.coverage.points_percent),
          Printf("%.0f%%", l.coverage.curves_percent),
          compared.points ? Printf("%.0f%%", compared.coverage_percent) : ""};
}

constexpr char kTitle[] =
    "error where a curve is left out, points of 10 us and more; how many left-out points, means of "
    "left-out\n"
    "curves and points of another engine's table lie inside their 80% intervals\n";

Json NetworkJson(const ImportedNetwork& network) {
  Json tests = Json::array();
  for (const ImportedTest& t : network.tests)
    tests.push_back({{"collective", t.collective},
                     {"file", t.file},
                     {"ranks", t.ranks},
                     {"nodes", t.nodes},
                     {"points", t.points},
                     {"mean_error_percent", t.mean_error_percent},
                     {"worst_error_percent", t.worst_error_percent}});
  const Cluster& c = network.cluster;
  return {{"collectives", tests},
          {"fitted", network.fitted},
          {"nvlink_usable_bytes_per_s", c.device.nvlink_usable.value},
          {"nic_usable_bytes_per_s", c.nic_usable.value},
          {"collective_launch_us", c.collective_launch / Microseconds(1)},
          {"bulk_launch_us", c.bulk_launch / Microseconds(1)},
          {"nvlink_step_us", c.nvlink_step / Microseconds(1)},
          {"network_step_us", c.network_step / Microseconds(1)},
          {"ignored", network.ignored}};
}

std::string NetworkText(const ImportedNetwork& network, const std::string& out) {
  Rows rows = {{"collective", "ranks", "nodes", "points", "mean error", "worst", "file"}};
  for (const ImportedTest& t : network.tests)
    rows.push_back({t.collective, Printf("%d", t.ranks), Printf("%d", t.nodes),
                    Printf("%zu", t.points), Printf("%.1f%%", t.mean_error_percent),
                    Printf("%.1f%%", t.worst_error_percent), t.file});
  const Cluster& c = network.cluster;
  const auto state = [&](const char* name, const std::string& value) {
    const bool fitted =
        std::find(network.fitted.begin(), network.fitted.end(), name) != network.fitted.end();
    return std::vector<std::string>{name, value, fitted ? "fitted" : "default: not measured"};
  };
  const auto us = [](Seconds s) { return Printf("%.4gus", s / Microseconds(1)); };
  const auto rate = [](BytesPerSecond r) { return Printf("%.4gGB/s", r.value / 1e9); };
  const Rows fields = {state("nvlink_usable", rate(c.device.nvlink_usable)),
                       state("nic_usable", rate(c.nic_usable)),
                       state("collective_launch", us(c.collective_launch)),
                       state("bulk_launch", us(c.bulk_launch)),
                       state("nvlink_step", us(c.nvlink_step)),
                       state("network_step", us(c.network_step))};
  return "error of the fitted cluster against nccl-tests, out of place\n" +
         Aligned(rows, "lrrrrrl") + "\nfields of " + out + "/network/cluster.json\n" +
         Aligned(fields, "lrl");
}

void Import(const std::string& source, const std::string& out, const Device& device,
            const CommonOptions& common) {
  const Sources sources = ReadSources(source);
  Json json = Json::object();
  std::string text;
  if (!sources.tables.empty() || sources.nccl_tests.empty()) {
    const ImportedCalibrations imported = ImportCalibrations(sources.tables, device);
    WriteFiles(out, imported.files);
    Json tables = Json::array();
    Rows rows = kHeader;
    for (const ImportedTable& t : imported.tables) {
      tables.push_back(TableJson(t.name, "2025", t.points, t.left_out, t.compared));
      rows.push_back(TableRow(t.name, t.points, t.left_out, t.compared));
    }
    json["tables"] = tables;
    json["ignored"] = imported.ignored;
    text += kTitle + Aligned(rows, "ll");
  }
  if (!sources.nccl_tests.empty()) {
    const ImportedNetwork network = ImportNetwork(sources.nccl_tests, device);
    WriteFiles(out, network.files);
    json["network"] = NetworkJson(network);
    text += NetworkText(network, out);
  }
  Emit(common, json, text);
}

void Check(const std::string& directory, const Device& device, const CommonOptions& common) {
  Json tables = Json::array();
  Rows rows = kHeader;
  for (const CheckedTable& t : CheckCalibrations(directory, device)) {
    tables.push_back(TableJson(t.name, t.stack, t.points, t.left_out, t.compared));
    rows.push_back(TableRow(t.name, t.points, t.left_out, t.compared));
    for (const LeftOutBand& b : t.left_out.bands)
      rows.push_back({"",
                      b.to < 1e300 ? Printf("%s %g-%g", t.axis.c_str(), b.from, b.to)
                                   : Printf("%s %g and more", t.axis.c_str(), b.from),
                      Printf("%zu", b.points), Printf("%.1f%%", b.mape_percent), "",
                      Printf("%.1f%%", b.inverse_distance_mape_percent), "", "", ""});
  }
  Emit(common, {{"tables", tables}}, kTitle + Aligned(rows, "ll"));
}

void Fit(const std::string& directory, const CommonOptions& common) {
  const WholeStepFit fit = FitWholeStep(directory);
  Rows rows = {{"run", "published", "kernels", "whole step", "left out"}};
  Json runs = Json::array();
  for (const DenseRun& r : fit.runs) {
    rows.push_back({r.claim.name, Printf("%.1f", r.claim.published), Printf("%.1f", r.kernels),
                    Printf("%.1f", r.fitted), Printf("%.1f", r.left_out)});
    runs.push_back({{"name", r.claim.name},
                    {"published_tflops_per_gpu", r.claim.published},
                    {"kernels_tflops_per_gpu", r.kernels},
                    {"fitted_tflops_per_gpu", r.fitted},
                    {"left_out_tflops_per_gpu", r.left_out},
                    {"source", r.claim.source}});
  }
  const WholeStep& w = fit.whole_step;
  Emit(common,
       {{"sustained", w.sustained},
        {"gap_us", w.gap / Microseconds(1)},
        {"sigma", w.sigma},
        {"runs", runs}},
       Printf("sustained %.3f of peak, gap %.1f us, sigma %.3f\n\nmodel TFLOP/s per GPU, attention "
              "not halved\n",
              w.sustained, w.gap / Microseconds(1), w.sigma) +
           Aligned(rows, "l"));
}

}  // namespace

Action DefineCalibrate(OptionList list, const CommonOptions& common) {
  struct Options {
    std::string source;
    std::string out;
    std::string device = "h100";
  };
  const auto options = std::make_shared<Options>();
  OptionList import =
      list.AddKind("import", "turn measured tables into calibrations, nccl-tests into a cluster");
  list.RequireKind();
  import.Add("source", options->source,
             "directory, searched with its subdirectories for .csv tables and for what nccl-tests "
             "printed (.txt, .log, "
             ".out); or one file of nccl-tests",
             {.required = true});
  import.Add("--out", options->out, "directory to write to, one folder a stack",
             {.required = true});
  import.Add("--measured-on", options->device, "device of the tables", {.show_default = true});
  OptionList check = list.AddKind("check", "how good the estimates are where nothing was measured");
  check.Add("--calibration", options->source,
            "folder of `calibrate import`; the built-in one where absent");
  check.Add("--measured-on", options->device, "device of the tables", {.show_default = true});
  OptionList fit = list.AddKind(
      "fit", "fit what a whole step takes beyond its kernels, on published dense runs");
  fit.Add("--calibration", options->source,
          "folder of `calibrate import`; the built-in one where absent");
  return [options, import, fit, &common] {
    if (fit.named()) return Fit(options->source, common);
    const Device device = LoadDevice(options->device);
    if (import.named())
      Import(options->source, options->out, device, common);
    else
      Check(options->source, device, common);
  };
}

}  // namespace moecast
