#include "base/memo.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace moecast {
namespace {

TEST(MemoTest, AValueIsMadeOnceAndSharedWhileItIsKept) {
  Memo<int, std::string> memo(2);
  int made = 0;
  const auto get = [&](int key) {
    return memo.Get(key, [&] {
      ++made;
      return std::to_string(key);
    });
  };
  const auto one = get(1);
  EXPECT_EQ(*one, "1");
  EXPECT_EQ(get(1), one);
  EXPECT_EQ(made, 1);
}

// Room for two: 1 2, then 1 used, so 3 drives out 2, and 2 drives out 1.
TEST(MemoTest, WhatWasNotUsedForLongestGoes) {
  Memo<int, int> memo(2);
  std::vector<int> made;
  const auto get = [&](int key) {
    return *memo.Get(key, [&] {
      made.push_back(key);
      return key;
    });
  };
  for (const int key : {1, 2, 1, 3, 1, 2, 3, 1}) EXPECT_EQ(get(key), key);
  EXPECT_EQ(made, (std::vector<int>{1, 2, 3, 2, 3, 1}));
}

// Weights are the values: 6 and 3 fit in 10, 5 more do not, so the 6 goes; 11 fits with nothing.
TEST(MemoTest, RoomIsCountedInTheWeightOfValues) {
  Memo<int, size_t> memo(10, [](const size_t& value) { return value; });
  std::vector<int> made;
  const auto get = [&](int key, size_t value) {
    const auto got = memo.Get(key, [&] {
      made.push_back(key);
      return value;
    });
    EXPECT_EQ(*got, value);
  };
  get(1, 6), get(2, 3), get(3, 5), get(2, 3), get(1, 2), get(4, 11), get(4, 11), get(2, 3);
  EXPECT_EQ(made, (std::vector<int>{1, 2, 3, 1, 4, 2}));
}

TEST(MemoTest, AValueThatWasDrivenOutLivesAsLongAsItsHolder) {
  Memo<int, std::string> memo(1);
  const auto held = memo.Get(1, [] { return std::string("held"); });
  memo.Get(2, [] { return std::string("next"); });
  EXPECT_EQ(*held, "held");
  EXPECT_EQ(held.use_count(), 1);
}

TEST(MemoTest, WhatThrowsIsAskedAgain) {
  Memo<int, int> memo(2);
  EXPECT_THROW(memo.Get(1, []() -> int { throw std::runtime_error("no"); }), std::runtime_error);
  EXPECT_EQ(*memo.Get(1, [] { return 7; }), 7);
}

TEST(MemoTest, ThreadsGetTheValueOfTheirKey) {
  Memo<int, int> memo(16);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&memo, &wrong, t] {
      for (int i = 0; i < 4000; ++i) {
        const int key = (i * 7 + t) % 40;
        wrong += *memo.Get(key, [key] { return key * key; }) != key * key;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace moecast
