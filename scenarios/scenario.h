// A scenario: what is trained, on what, how, and what of it is not known. Read from a built-in name
// or a file, changed by --set, checked whole. One mechanism serves --set, unknowns and their
// variants: patch the JSON, then parse.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fields.h"
#include "base/json.h"
#include "costmodel/plan.h"
#include "scenarios/overrides.h"
#include "sim/training/programme.h"

namespace moecast {

struct Price {
  double usd_per_gpu_hour = 2.0;
};
const Fields<Price>& FieldsOf(const Price*);

// A field whose value the source does not say, with the values it may have. Several values of one
// pointer are equally likely; unknowns are independent of each other.
struct Unknown {
  std::string pointer;  // "/training/parallel/dp"
  std::vector<Json> values;
};
struct Unknowns {
  std::vector<Unknown> list;
};
template <>
struct Codec<Unknowns> {
  static Unknowns Parse(const JsonCursor& at, const Limits& limits);
  static Json Print(const Unknowns& v);
  static Json Schema(const Limits& limits);
  static std::string Type(const Limits& limits);
};

// A scenario file as it stands.
struct ScenarioSpec {
  std::string model;
  std::string cluster;
  std::string stack = "2025";
  std::string calibration;
  std::string source;
  Plan training;
  WholeStepSpec whole_step;
  Price price;
  std::optional<Reliability> reliability;
  Unknowns unknown;
};
const Fields<ScenarioSpec>& FieldsOf(const ScenarioSpec*);

class Scenario {
 public:
  // `sets` are the arguments of --set; `then` those of another option, applied after them. A field
  // that is set is no longer unknown. Throws UserError for anything wrong, unknown values included.
  static Scenario Load(const std::string& name_or_path, std::span<const std::string> sets,
                       const Overrides& then = {});
  static Scenario FromText(std::string_view text, const std::string& file, const std::string& name,
                           std::span<const std::string> sets, const Overrides& then = {});

  const ScenarioSpec& spec() const { return spec_; }
  const Programme& training() const { return *training_; }
  // The programme with unknown i at its value choice[i], or as in the file where that is -1.
  // REQUIRES: as many choices as unknowns, each within its values.
  Programme Variant(std::span<const int> choice) const;

 private:
  Scenario() = default;

  std::string name_;
  std::shared_ptr<const JsonDocument> document_;
  ScenarioSpec spec_;
  std::shared_ptr<const Programme> training_;
};

}  // namespace moecast
