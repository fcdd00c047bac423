// JSON at the edges: parsing text with its place kept, a cursor that knows its JSON pointer, and
// printing.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json_value.h"

namespace moecast {

// A parsed text and where it came from.
struct JsonDocument {
  Json root;
  std::string file;  // for messages
  // Values that did not come from the file, by pointer.
  struct Patch {
    std::string origin;  // "--set training/parallel/tp=4"
    std::string text;    // the value as it was written
  };
  std::map<std::string, Patch> patches;
};

// Throws UserError with line and column: not JSON, a key twice in one object, nested deeper than
// 64, larger than 16 MiB, a number beyond double.
std::shared_ptr<JsonDocument> ParseJson(std::string_view text, const std::string& file);

// Replaces or adds the value at `pointer` (with or without a leading '/'), creating objects on the
// way; messages about it name the patch's origin. Throws UserError where the path runs through a
// value that is no object or array.
void PatchJson(JsonDocument& document, std::string_view pointer, Json value,
               JsonDocument::Patch patch);

// The JSON pointer of the member `key` of what is at `pointer`.
std::string MemberPointer(const std::string& pointer, std::string_view key);

// Numbers as printed everywhere: integers exactly, others with 9 significant digits.
std::string DumpJson(const Json& json, int indent = 2);

class JsonCursor {
 public:
  explicit JsonCursor(std::shared_ptr<const JsonDocument> document);

  const Json& json() const { return *node_; }
  const std::string& pointer() const { return pointer_; }

  // Objects. Key() REQUIRES Has(key); Keys() throws where this is no object.
  bool Has(std::string_view key) const;
  JsonCursor Key(std::string_view key) const;
  JsonCursor Required(std::string_view key) const;  // throws where the key is missing
  std::vector<std::string> Keys() const;
  // Throws for the first key not in `valid`, with the nearest valid name.
  void AllowOnly(std::span<const std::string_view> valid) const;

  // Arrays.
  size_t size() const;  // throws where this is no array
  JsonCursor At(size_t index) const;

  // Scalars; each throws where the value is of another type or outside [low, high].
  bool Bool() const;
  int64_t Int(int64_t low, int64_t high) const;
  double Number(double low, double high) const;
  // A patched value may be written without quotes even where it looks like a number ("--set
  // stack=2025").
  const std::string& Text() const;

  // Throws a UserError that names this place, its value, what was expected and a hint.
  [[noreturn]] void Fail(const std::string& expected, const std::string& hint = "") const;
  // The same for the value at `pointer` below this place, "/a/0"; where that is a default that the
  // file does not hold, names the deepest place there is.
  [[noreturn]] void FailBelow(const std::string& pointer, const std::string& expected,
                              const std::string& hint = "") const;

 private:
  JsonCursor(std::shared_ptr<const JsonDocument> d, const Json* n, std::string p)
      : document_(std::move(d)), node_(n), pointer_(std::move(p)) {}

  std::shared_ptr<const JsonDocument> document_;
  const Json* node_;
  std::string pointer_;
};

}  // namespace moecast
