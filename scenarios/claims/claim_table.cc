#include "scenarios/claims/claim_table.h"

#include "base/check.h"
#include "base/quantity_text.h"
#include "scenarios/builtin.h"

namespace moecast {
namespace {

Measurements BuiltinTable(const std::string& file) {
  const auto text = BuiltinText(file);
  MOECAST_CHECK(text.has_value());
  return Measurements(std::string(*text), file);
}

}  // namespace

int ClaimRow::Whole(std::string_view column) const {
  return static_cast<int>(table_.Integer(row_, table_.Column(column), 1, 1 << 20));
}

double ClaimRow::Number(std::string_view column, double low, double high) const {
  return table_.Number(row_, table_.Column(column), low, high);
}

Bytes ClaimRow::Size(std::string_view column) const {
  const auto size = ParseBytes(Text(column));
  if (!size) Fail(column, "a size with a unit");
  return *size;
}

Seconds ClaimRow::Duration(std::string_view column) const {
  const auto time = ParseSeconds(Text(column));
  if (!time) Fail(column, "a time with a unit");
  return *time;
}

void ClaimRow::Fail(std::string_view column, const std::string& expected) const {
  table_.Fail(row_, table_.Column(column), expected);
}

ClaimTable::ClaimTable(std::string_view suite)
    : table_(BuiltinTable("claims/" + std::string(suite) + ".csv")) {}

}  // namespace moecast
