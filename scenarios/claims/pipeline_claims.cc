#include "scenarios/claims/pipeline_claims.h"

#include "scenarios/claims/claim_table.h"

namespace moecast {

std::vector<PipelineClaim> LoadPipelineClaims() {
  const ClaimTable table("pipeline_bubbles");
  std::vector<PipelineClaim> claims;
  for (size_t i = 0; i < table.rows(); ++i) {
    const ClaimRow row = table.Row(i);
    PipelineClaim c;
    c.schedule = row.Text("schedule");
    c.shape.stages = row.Whole("stages");
    c.shape.micro_batches = row.Whole("micro_batches");
    c.shape.chunks = row.Whole("vpp");
    // A stage's time is spread evenly over its chunks.
    const auto of_chunks = [&](const char* column) {
      return std::vector<Time>(static_cast<size_t>(c.shape.virtual_stages()),
                               Time::From(row.Duration(column) / c.shape.chunks));
    };
    c.shape.forward = of_chunks("forward");
    c.shape.backward = of_chunks("backward");
    c.shape.weight = of_chunks("weight");
    c.shape.transfer = Time::From(row.Duration("comm"));
    c.shape.kept_for_weight = row.Number("kept_for_weight", 0, 1);
    c.bubble_rate = row.Number("bubble_rate", 0, 1);
    c.tolerance = row.Number("tolerance", 0, 1);
    c.source = row.Text("source");
    c.name = c.schedule + " " + std::to_string(c.shape.stages) + " stages x " +
             std::to_string(c.shape.micro_batches);
    claims.push_back(std::move(c));
  }
  return claims;
}

}  // namespace moecast
