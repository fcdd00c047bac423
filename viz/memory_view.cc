#include "viz/memory_view.h"

#include "base/quantity_text.h"
#include "viz/table.h"

namespace moecast {

Json PeakMemoryJson(const PeakMemory& peak) {
  Json rows = Json::array();
  for (const PeakRow& row : peak.rows)
    rows.push_back({{"part", row.part},
                    {"block", row.block},
                    {"what", row.what},
                    {"until", row.until},
                    {"copies", row.copies},
                    {"micro_batches", row.micro_batches},
                    {"bytes", row.bytes.value}});
  return {{"rank", peak.rank},
          {"stage", peak.stage},
          {"peak_bytes", peak.total.value},
          {"task", peak.task_name},
          {"micro_batch", peak.micro_batch},
          {"chunk", peak.chunk},
          {"at_s", peak.at.seconds().value},
          {"rows", rows}};
}

std::string PeakMemoryText(const PeakMemory& peak) {
  std::string out =
      Printf("\nalive at the peak of rank %d (stage %d): %s, reached %s into the step by %s\n",
             peak.rank, peak.stage, ShowBytes(peak.total).c_str(),
             ShowSeconds(peak.at.seconds()).c_str(), peak.task_name.c_str());
  Rows rows = {{"bytes", "share", "part", "block", "what", "alive", "copies", "micro-batches"}};
  for (const PeakRow& row : peak.rows)
    rows.push_back({ShowBytes(row.bytes), Printf("%.1f%%", 100 * (row.bytes / peak.total)),
                    row.part, row.block, row.what, row.until,
                    row.copies > 1 ? Thousands(row.copies) : "",
                    row.micro_batches > 0 ? Printf("%d", row.micro_batches) : ""});
  return out + Aligned(rows, "rrllll");
}

}  // namespace moecast
