#include "base/json_value.h"

#include <algorithm>

#include "base/check.h"

namespace moecast {

Json::Json() = default;
Json::Json(const Json& other) = default;
Json::Json(Json&& other) noexcept = default;
Json& Json::operator=(const Json& other) = default;
Json& Json::operator=(Json&& other) noexcept = default;
Json::~Json() = default;

Json::Json(Kind kind, int64_t whole) : kind_(kind), whole_(whole) {}
Json::Json(double number) : kind_(Kind::kReal), real_(number) {}
Json::Json(const char* text) : Json(std::string(text)) {}
Json::Json(std::string_view text) : Json(std::string(text)) {}
Json::Json(std::string text) : kind_(Kind::kText), text_(std::move(text)) {}

Json::Json(std::initializer_list<Item> items) {
  const bool members = std::all_of(items.begin(), items.end(), [](const Item& item) {
    const Json& v = item.value;
    return v.is_array() && v.size() == 2 && v[size_t{0}].is_string();
  });
  if (!members) {
    *this = array(items);
    return;
  }
  kind_ = Kind::kObject;
  for (const Item& item : items)
    (*this)[item.value.items_[0].text_] = std::move(item.value.items_[1]);
}

Json Json::array() {
  return Json(Kind::kList, 0);
}
Json Json::array(std::initializer_list<Item> items) {
  Json list = array();
  for (const Item& item : items) list.push_back(std::move(item.value));
  return list;
}
Json Json::object() {
  return Json(Kind::kObject, 0);
}

bool Json::Bool() const {
  MOECAST_CHECK(is_boolean());
  return whole_ != 0;
}
int64_t Json::Whole() const {
  MOECAST_CHECK(is_number());
  return is_number_float() ? static_cast<int64_t>(real_) : whole_;
}
double Json::Real() const {
  MOECAST_CHECK(is_number());
  if (is_number_float()) return real_;
  return is_number_unsigned() ? static_cast<double>(static_cast<uint64_t>(whole_))
                              : static_cast<double>(whole_);
}
const std::string& Json::Text() const {
  MOECAST_CHECK(is_string());
  return text_;
}

const Json& Json::operator[](size_t index) const {
  MOECAST_CHECK(index < items_.size());
  return items_[index];
}
Json& Json::operator[](size_t index) {
  MOECAST_CHECK(index < items_.size());
  return items_[index];
}
void Json::push_back(Json item) {
  if (is_null()) kind_ = Kind::kList;
  MOECAST_CHECK(is_array());
  items_.push_back(std::move(item));
}

std::vector<std::pair<const std::string&, const Json&>> Json::items() const {
  std::vector<std::pair<const std::string&, const Json&>> members;
  for (size_t i = 0; i < keys_.size(); ++i) members.emplace_back(keys_[i], items_[i]);
  return members;
}
const Json* Json::find(std::string_view key) const {
  const auto at = std::find(keys_.begin(), keys_.end(), key);
  return at == keys_.end() ? end() : begin() + (at - keys_.begin());
}
Json* Json::find(std::string_view key) {
  const auto at = std::find(keys_.begin(), keys_.end(), key);
  return at == keys_.end() ? end() : begin() + (at - keys_.begin());
}
const Json& Json::operator[](std::string_view key) const {
  const Json* member = find(key);
  MOECAST_CHECK(member != end());
  return *member;
}
Json& Json::operator[](std::string_view key) {
  Json* member = find(key);
  return member == end() ? Append(key, Json()) : *member;
}
Json& Json::Append(std::string_view key, Json value) {
  if (is_null()) kind_ = Kind::kObject;
  MOECAST_CHECK(is_object());
  keys_.emplace_back(key);
  items_.push_back(std::move(value));
  return items_.back();
}
void Json::erase(std::string_view key) {
  const auto at = std::find(keys_.begin(), keys_.end(), key);
  if (at == keys_.end()) return;
  items_.erase(items_.begin() + (at - keys_.begin()));
  keys_.erase(at);
}
void Json::update(const Json& other) {
  for (size_t i = 0; i < other.keys_.size(); ++i) (*this)[other.keys_[i]] = other.items_[i];
}

bool operator==(const Json& a, const Json& b) {
  if (a.is_number() && b.is_number()) return (a <=> b) == 0;
  return a.kind_ == b.kind_ && a.whole_ == b.whole_ && a.text_ == b.text_ && a.keys_ == b.keys_ &&
         a.items_ == b.items_;
}

std::partial_ordering operator<=>(const Json& a, const Json& b) {
  if (a.is_string() && b.is_string()) return a.text_ <=> b.text_;
  if (!a.is_number() || !b.is_number()) return std::partial_ordering::unordered;
  if (a.is_number_float() || b.is_number_float()) return a.Real() <=> b.Real();
  // Whole numbers: those beyond int64_t are above all others.
  const bool a_large = a.is_number_unsigned() && a.whole_ < 0,
             b_large = b.is_number_unsigned() && b.whole_ < 0;
  return a_large != b_large ? a_large <=> b_large : a.whole_ <=> b.whole_;
}

}  // namespace moecast
