// moecast calibrate import: measured tables into calibrations.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "base/error.h"
#include "base/file.h"
#include "cli/command.h"
#include "scenarios/calibration_import.h"
#include "scenarios/cluster_loader.h"

namespace moecast {
namespace {

// Every .csv below the folder, by name.
std::vector<TextFile> ReadSources(const std::string& folder) {
  namespace fs = std::filesystem;
  std::vector<fs::path> paths;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    if (at->is_regular_file() && at->path().extension() == ".csv") paths.push_back(at->path());
  if (error)
    throw UserError({.file = folder, .value = error.message(), .expected = "a directory of measured tables"});
  std::sort(paths.begin(), paths.end());
  std::vector<TextFile> files;
  for (const fs::path& path : paths) files.push_back({path.filename().string(), ReadFile(path.string())});
  return files;
}

Json TablesJson(const ImportedCalibrations& imported) {
  Json tables = Json::array();
  for (const ImportedTable& t : imported.tables) {
    Json bands = Json::array();
    for (const LeftOutBand& b : t.left_out.bands)
      bands.push_back({{"from_us", b.from_us},
                       {"to_us", b.to_us < 1e300 ? Json(b.to_us) : Json()},
                       {"points", b.points},
                       {"mape_percent", b.mape_percent}});
    tables.push_back({{"operator", t.name},
                      {"stack", "2025"},
                      {"points", t.points},
                      {"left_out_mape_percent", t.left_out.mape_percent},
                      {"left_out_p90_percent", t.left_out.p90_percent},
                      {"inverse_distance_mape_percent", t.left_out.inverse_distance_mape_percent},
                      {"coverage_percent", t.left_out.coverage_percent},
                      {"bands", bands}});
  }
  return {{"tables", tables}, {"ignored", imported.ignored}};
}

std::string TablesText(const ImportedCalibrations& imported) {
  std::string text =
      "table                    points   error left out (mean, p90)   by inverse distance   in 80% "
      "interval\n";
  char line[200];
  for (const ImportedTable& t : imported.tables) {
    std::snprintf(line, sizeof line, "%-24s %6zu %15.1f%% %9.1f%% %20.1f%% %16.0f%%\n", t.name.c_str(),
                  t.points, t.left_out.mape_percent, t.left_out.p90_percent,
                  t.left_out.inverse_distance_mape_percent, t.left_out.coverage_percent);
    text += line;
  }
  return text;
}

}  // namespace

Action DefineCalibrate(CLI::App& app, const CommonOptions& common) {
  struct Options {
    std::string source, out, device = "h100";
  };
  const auto options = std::make_shared<Options>();
  CLI::App* import = app.add_subcommand("import", "turn a directory of measured tables into calibrations");
  app.require_subcommand(1);
  import->fallthrough();
  import->add_option("source", options->source, "directory, searched with its subdirectories for .csv files")
      ->required();
  import->add_option("--out", options->out, "directory to write to, one folder a stack")->required();
  import->add_option("--measured-on", options->device, "device of the tables")->capture_default_str();
  return [options, &common] {
    const ImportedCalibrations imported =
        ImportCalibrations(ReadSources(options->source), LoadDevice(options->device));
    for (const TextFile& file : imported.files) {
      const std::filesystem::path path = std::filesystem::path(options->out) / file.path;
      std::error_code error;
      std::filesystem::create_directories(path.parent_path(), error);
      if (error)
        throw UserError({.file = path.parent_path().string(),
                         .value = error.message(),
                         .expected = "a directory that can be made"});
      WriteFile(path.string(), file.text);
    }
    Emit(common, TablesJson(imported), TablesText(imported));
  };
}

}  // namespace moecast
