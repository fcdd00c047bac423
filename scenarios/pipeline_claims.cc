#include "scenarios/pipeline_claims.h"

#include "base/check.h"
#include "base/quantity_text.h"
#include "scenarios/builtin.h"
#include "traces/measurements.h"

namespace moecast {

std::vector<PipelineClaim> LoadPipelineClaims() {
  const std::string file = "claims/pipeline_bubbles.csv";
  const auto text = BuiltinText(file);
  MOECAST_CHECK(text.has_value());
  const Measurements table(std::string(*text), file);
  std::vector<PipelineClaim> claims;
  for (size_t row = 0; row < table.rows(); ++row) {
    const auto whole = [&](const char* column) {
      return static_cast<int>(table.Integer(row, table.Column(column), 1, 1 << 20));
    };
    PipelineClaim c;
    c.schedule = table.Text(row, table.Column("schedule"));
    c.shape.stages = whole("stages");
    c.shape.micro_batches = whole("micro_batches");
    c.shape.chunks = whole("vpp");
    // A stage's time is spread evenly over its chunks.
    const auto time = [&](const char* column) {
      const auto t = ParseSeconds(table.Text(row, table.Column(column)));
      if (!t) table.Fail(row, table.Column(column), "a time with a unit");
      return *t;
    };
    const auto of_chunks = [&](const char* column) {
      return std::vector<Time>(static_cast<size_t>(c.shape.virtual_stages()),
                               Time::From(time(column) / c.shape.chunks));
    };
    c.shape.forward = of_chunks("forward");
    c.shape.backward = of_chunks("backward");
    c.shape.weight = of_chunks("weight");
    c.shape.transfer = Time::From(time("comm"));
    c.shape.kept_for_weight = table.Number(row, table.Column("kept_for_weight"), 0, 1);
    c.bubble_rate = table.Number(row, table.Column("bubble_rate"), 0, 1);
    c.tolerance = table.Number(row, table.Column("tolerance"), 0, 1);
    c.source = table.Text(row, table.Column("source"));
    c.name = c.schedule + " " + std::to_string(c.shape.stages) + " stages x " +
             std::to_string(c.shape.micro_batches);
    claims.push_back(std::move(c));
  }
  return claims;
}

}  // namespace moecast
