// Where figures come from. Costs that name one source err together, so each has a number, which the
// registry gives.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace moecast {

enum class SourceId : uint16_t {};

struct CostSource {
  std::string name;  // "gemm_bf16"
  std::string text;  // table, engine, version, licence; or why it is reasoned so
};
// "gemm_bf16: TensorRT-LLM 1.3 ..."
inline std::string TextOf(const CostSource& source) {
  return source.name + ": " + source.text;
}

// A value for each source.
template <class T>
class BySource {
 public:
  BySource() = default;
  explicit BySource(size_t sources, T value = {}) : values_(sources, value) {}
  T& operator[](SourceId id) { return values_.at(static_cast<size_t>(id)); }
  const T& operator[](SourceId id) const { return values_.at(static_cast<size_t>(id)); }
  size_t size() const { return values_.size(); }

 protected:
  std::vector<T> values_;
};

class CostSources : public BySource<CostSource> {
 public:
  SourceId Add(std::string name, std::string text) {
    values_.push_back({std::move(name), std::move(text)});
    return static_cast<SourceId>(size() - 1);
  }
  std::vector<SourceId> ids() const {  // as they were added
    std::vector<SourceId> ids;
    for (size_t i = 0; i < size(); ++i) ids.push_back(static_cast<SourceId>(i));
    return ids;
  }
};

}  // namespace moecast
