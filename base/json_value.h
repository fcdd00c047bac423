// A JSON value: null, true or false, a number, a text, a list, or an object that keeps the order of
// its keys. It knows nothing of text: base/json.h parses and prints. Values are written as they
// stand in a file,
//   Json j = {{"name", "ring"}, {"ranks", {0, 1, 2}}, {"time", Json()}};
// where braces around pairs that begin with a text make an object, and other braces a list. A class
// of our own, because every command and every view builds values, and a header of a JSON library
// takes longer to compile than all else they include.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace moecast {

class Json {
 public:
  class Item;  // what stands in braces
  template <class R>
  static constexpr bool kIsList = !std::is_convertible_v<R, std::string_view> &&
                                  !std::is_same_v<R, Json> && requires(const R& r) {
    r.begin(), r.end();
  };

  Json();  // null
  Json(const Json& other);
  Json(Json&& other) noexcept;
  Json& operator=(const Json& other);
  Json& operator=(Json&& other) noexcept;
  ~Json();

  Json(std::nullptr_t) : Json() {}
  template <class I>
  requires std::is_integral_v<I> Json(I number)
      : Json(std::is_same_v<I, bool> ? Kind::kBool
             : std::is_signed_v<I>   ? Kind::kWhole
                                     : Kind::kUnsigned,
             static_cast<int64_t>(number)) {}
  Json(double number);
  Json(const char* text);
  Json(std::string_view text);
  Json(std::string text);
  template <class R>
  requires kIsList<R> Json(const R& list) : Json(array()) {
    for (const auto& item : list) push_back(item);
  }
  Json(std::initializer_list<Item> items);

  static Json array();
  static Json array(std::initializer_list<Item> items);
  static Json object();

  bool is_null() const { return kind_ == Kind::kNull; }
  bool is_boolean() const { return kind_ == Kind::kBool; }
  bool is_number() const {
    return is_number_float() || kind_ == Kind::kWhole || is_number_unsigned();
  }
  bool is_number_float() const { return kind_ == Kind::kReal; }
  // Made from an unsigned type, or parsed as a whole number that is not negative.
  bool is_number_unsigned() const { return kind_ == Kind::kUnsigned; }
  bool is_string() const { return kind_ == Kind::kText; }
  bool is_array() const { return kind_ == Kind::kList; }
  bool is_object() const { return kind_ == Kind::kObject; }
  bool is_structured() const { return is_array() || is_object(); }

  // The value as bool, a number or std::string. REQUIRES: it is one; numbers are converted.
  template <class T>
  T get() const {
    if constexpr (std::is_same_v<T, bool>)
      return Bool();
    else if constexpr (std::is_arithmetic_v<T>)
      return std::is_floating_point_v<T> ? static_cast<T>(Real()) : static_cast<T>(Whole());
    else
      return T(Text());
  }
  const std::string& Text() const;

  // Items of a list, or values of an object in the order of its keys; nothing in other values.
  size_t size() const { return items_.size(); }
  bool empty() const { return items_.empty(); }
  Json* begin() { return items_.data(); }
  Json* end() { return items_.data() + items_.size(); }
  const Json* begin() const { return items_.data(); }
  const Json* end() const { return items_.data() + items_.size(); }
  const Json& operator[](size_t index) const;  // REQUIRES: index < size()
  Json& operator[](size_t index);
  void push_back(Json item);  // to a list; null becomes one

  // Members of an object. The const ones REQUIRE that there is such a key.
  const std::vector<std::string>& keys() const { return keys_; }
  std::vector<std::pair<const std::string&, const Json&>> items() const;
  bool contains(std::string_view key) const { return find(key) != end(); }
  const Json* find(std::string_view key) const;  // end() where there is none
  Json* find(std::string_view key);
  const Json& operator[](std::string_view key) const;
  Json& operator[](std::string_view key);  // added where it is missing; null becomes an object
  Json& Append(std::string_view key, Json value);  // REQUIRES: no such key
  void erase(std::string_view key);
  void update(const Json& other);  // takes over the members of another object

  // Numbers are equal by value, lists item by item, objects with the same keys in the same order.
  friend bool operator==(const Json& a, const Json& b);
  // Of two numbers or two texts; others are unordered.
  friend std::partial_ordering operator<=>(const Json& a, const Json& b);

  // On one line, with every digit of its numbers.
  std::string dump() const;
  template <class Stream>
  friend Stream& operator<<(Stream& to, const Json& json) {
    to << json.dump();
    return to;
  }

 private:
  enum class Kind : uint8_t { kNull, kBool, kWhole, kUnsigned, kReal, kText, kList, kObject };

  Json(Kind kind, int64_t whole);
  bool Bool() const;
  int64_t Whole() const;
  double Real() const;

  Kind kind_ = Kind::kNull;
  int64_t whole_ = 0;  // of kUnsigned its bits, of kBool 0 or 1
  double real_ = 0;
  std::string text_;
  std::vector<std::string> keys_;  // of the items of an object
  std::vector<Json> items_;
};

class Json::Item {
 public:
  template <class T>
  requires(std::is_constructible_v<Json, T> && !std::is_same_v<std::remove_cvref_t<T>, Item>)
      Item(T&& item)
      : value(std::forward<T>(item)) {}
  Item(std::initializer_list<Item> items) : value(items) {}

  mutable Json value;  // moved into the list or object that the braces make
};

}  // namespace moecast
