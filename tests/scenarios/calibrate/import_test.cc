#include "scenarios/calibrate/import.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/file.h"
#include "costmodel/calibration/calibration.h"
#include "costmodel/calibration/calibration_file.h"
#include "scenarios/builtin.h"
#include "scenarios/calibrate/check.h"
#include "scenarios/calibration_loader.h"
#include "scenarios/cluster_loader.h"
#include "tests/message_of.h"

namespace moecast {
namespace {

constexpr const char* kGemmName = "h100_gemm_bfloat16_trtllm_1.0.csv";
const std::string kOpsHeader = "dtype,kernel,m,n,k,latency_us\n";

std::vector<TextFile> Gemm(const std::string& rows) {
  return {{kGemmName, kOpsHeader + rows}};
}

const std::string* Find(const ImportedCalibrations& c, std::string_view path) {
  for (const TextFile& f : c.files)
    if (f.path == path) return &f.text;
  return nullptr;
}

TEST(CalibrationImportTest, TurnsPointsIntoCurvesWithFourDigits) {
  const auto c = ImportCalibrations(Gemm("bfloat16,x,64,512,256,4.56789\n"
                                         "bfloat16,x,1,512,256,3.5\n"
                                         "bfloat16,x,64,256,1024,123456.7\n"
                                         "fp8,x,1,256,1024,9\n"),
                                    LoadDevice("h100"));
  const std::string* csv = Find(c, "2025/gemm_bf16.csv");
  ASSERT_TRUE(csv);
  EXPECT_EQ(csv->substr(csv->find("\nn,k") + 1),
            "n,k,m=1,m=64\n256,1024,,123500\n512,256,3.5,4.568\n");
  EXPECT_NE(csv->find("TensorRT-LLM 1.0 on h100"), std::string::npos);
  EXPECT_NE(csv->find("Apache-2.0"), std::string::npos);
  ASSERT_EQ(c.tables.size(), 1u);
  EXPECT_EQ(c.tables[0].points, 3u);
}

TEST(CalibrationImportTest, BrokenFieldsAreNamedByFileLineAndColumn) {
  const Device h100 = LoadDevice("h100");
  const std::string name = kGemmName;
  struct {
    std::string rows, error;
  } const cases[] = {
      {"bfloat16,x,1,256,512,3\nbfloat16,x,4,256,512,nan\n",
       name +
           ": line 3, column \"latency_us\": found \"nan\", expected a number from 0.001 to 1e+12"},
      {"bfloat16,x,1,256,512,fast\n", name + ": line 2, column \"latency_us\": found \"fast\", "
                                             "expected a number from 0.001 to 1e+12"},
      {"bfloat16,x,1,2.5,512,3\n",
       name + ": line 2, column \"n\": found \"2.5\", expected a whole number"},
      {"bfloat16,x,1,256,512,3\nbfloat16,x,1,25\n",
       name + ": line 3: found 4 fields, expected 6 as in the header"},
  };
  for (const auto& c : cases)
    EXPECT_EQ(MessageOf([&] { ImportCalibrations(Gemm(c.rows), h100); }), c.error);
  const std::vector<TextFile> no_column = {{kGemmName, "dtype,m,n,latency_us\nbfloat16,1,2,3\n"}};
  EXPECT_NE(MessageOf([&] { ImportCalibrations(no_column, h100); }).find("no column \"k\""),
            std::string::npos);
}

TEST(CalibrationImportTest, FilesItCannotUseAreToldAndNoneAtAllIsAnError) {
  const Device h100 = LoadDevice("h100");
  std::vector<TextFile> files = Gemm("bfloat16,x,1,256,512,3\n");
  files.push_back({"holiday.csv", "a\n1\n"});
  EXPECT_EQ(ImportCalibrations(files, h100).ignored, std::vector<std::string>{"holiday.csv"});
  EXPECT_THROW(ImportCalibrations({}, h100), UserError);
  EXPECT_THROW(ImportCalibrations(std::vector<TextFile>{{"holiday.csv", "a\n1\n"}}, h100),
               UserError);
}

TEST(CalibrationImportTest, TwoEnginesGiveTheTablesSigma) {
  // vLLM takes 1.2 times as long on every shape: ln 1.2 / 1.2816 = 0.1423, of which the errors
  // within the table, a third of what was left out, explain a part. Every fourth m is kept of the
  // other engine.
  std::string rows, slower;
  for (const char* m : {"1", "4", "16", "64", "256"})
    for (const char* weight : {",4096,4096", ",8192,4096"}) {
      rows += std::string("bfloat16,x,") + m + weight + ",20\n";
      slower += std::string("bfloat16,x,") + m + weight + ",24\n";
    }
  const std::vector<TextFile> files = {{kGemmName, kOpsHeader + rows},
                                       {"h100_gemm_bfloat16_vllm_2.0.csv", kOpsHeader + slower}};
  const auto c = ImportCalibrations(files, LoadDevice("h100"));
  const CalibrationFile json =
      ParseCalibrationFile(*Find(c, "2025/calibration.json"), "calibration.json");
  ASSERT_EQ(json.tables.size(), 1u);
  const TableRecord& record = json.tables[0];
  const double below = 0.35 * std::hypot(record.sigma_curve, record.sigma_own);
  EXPECT_NEAR(record.sigma_table,
              std::max(0.03, std::sqrt(std::max(0.0, 0.14227 * 0.14227 - below * below))), 1e-4);
  EXPECT_EQ(record.compared_file, "gemm_bf16_compared.csv");
  EXPECT_EQ(record.compared_source, "vLLM 2.0");
  const std::string* thin = Find(c, "2025/gemm_bf16_compared.csv");
  ASSERT_TRUE(thin);
  EXPECT_EQ(thin->substr(thin->find("\nn,k") + 1),
            "n,k,m=1,m=256\n4096,4096,24,24\n8192,4096,24,24\n");
  EXPECT_EQ(json.tables[0].sigma_table_from, "disagreement with vLLM 2.0");
}

TEST(CalibrationImportTest, ACheckNamesTheTableThatIsMissing) {
  std::vector<TextFile> files = Gemm("bfloat16,x,1,256,512,30\nbfloat16,x,1,512,512,40\n");
  files.push_back({"h100_gemm_bfloat16_vllm_2.0.csv", kOpsHeader + "bfloat16,x,1,256,512,33\n"});
  const std::string folder = testing::TempDir() + "calibration_of_two_engines/";
  std::filesystem::create_directories(folder + "2025");
  std::filesystem::create_directories(folder + "2024h1");
  for (const TextFile& f : ImportCalibrations(files, LoadDevice("h100")).files)
    WriteFile(folder + f.path, f.text);
  const std::vector<CheckedTable> checked = CheckCalibrations(folder, LoadDevice("h100"));
  ASSERT_EQ(checked.size(), 1u);
  EXPECT_EQ(checked[0].compared.points, 1u);
  std::filesystem::remove(folder + "2025/gemm_bf16_compared.csv");
  const std::string message = MessageOf([&] { CheckCalibrations(folder, LoadDevice("h100")); });
  EXPECT_NE(message.find("2025/gemm_bf16_compared.csv"), std::string::npos) << message;
  std::filesystem::remove_all(folder);
}

TEST(CalibrationImportTest, WhatItWritesCanBeEstimatedFromAndLacksOnlyWhatWasNotGiven) {
  const auto c = ImportCalibrations(Gemm("bfloat16,x,1,256,512,30\nbfloat16,x,64,256,512,40\n"),
                                    LoadDevice("h100"));
  const Calibration calibration(LoadDevice("h100"), "2024h1", [&](std::string_view path) {
    const std::string* text = Find(c, path);
    if (!text) throw UserError({.file = std::string(path), .expected = "a file"});
    return *text;
  });
  EXPECT_NEAR(calibration.Gemm({64, 256, 512}).time.value * 1e6, 40, 0.01);
  EXPECT_NE(MessageOf([&] {
              calibration.Gemm({64, 256, 512, Dtype::kFp8});
            }).find("no table \"gemm_fp8\""),
            std::string::npos);
}

CalibrationFile BuiltIn(const std::string& stack) {
  return ParseCalibrationFile(*BuiltinText("calibrations/" + stack + "/calibration.json"), stack);
}

TEST(CalibrationImportTest, WhatNoMeasurementSaysIsTheBuiltInCalibrations) {
  const auto c = ImportCalibrations(Gemm("bfloat16,x,1,256,512,30\n"), LoadDevice("h800"));
  CalibrationFile now = BuiltIn("2025"), older = BuiltIn("2024h1");
  const CalibrationFile made = ParseCalibrationFile(*Find(c, "2025/calibration.json"), "2025");
  ASSERT_EQ(made.tables.size(), 1u);
  EXPECT_EQ(made.measured_on->name, "h800");
  now.tables = made.tables;
  now.fits.clear();
  now.measured_on = made.measured_on;
  EXPECT_EQ(*Find(c, "2025/calibration.json"), PrintCalibrationFile(now));
  // The older stack's factor was fitted to other tables, from profiles that are not among the
  // files.
  std::erase_if(older.reasoned, [](const ReasonedRecord& r) { return r.name == "gemm_bf16"; });
  EXPECT_EQ(*Find(c, "2024h1/calibration.json"), PrintCalibrationFile(older));
}

TEST(CalibrationImportTest, TablesOfOneEngineHaveTheErrorsThatTheBuiltInOnesHave) {
  std::vector<TextFile> files = {
      {"h100_gemm_fp8_trtllm_1.0.csv", kOpsHeader + "fp8,x,1,256,512,30\n"}};
  files.push_back(
      {"h100_moe_trtllm_1.0.csv",
       "dtype,num_tokens_total,hidden,inter,topk,num_experts,moe_tp,moe_ep,routing_distribution,"
       "latency_us\nfp8,64,4096,1536,8,128,1,8,balanced,100\n"});
  const auto c = ImportCalibrations(files, LoadDevice("h100"));
  const CalibrationFile made = ParseCalibrationFile(*Find(c, "2025/calibration.json"), "2025");
  ASSERT_EQ(made.tables.size(), 2u);
  for (const TableRecord& record : made.tables) {
    const CalibrationFile built_in = BuiltIn("2025");
    const auto same = std::find_if(built_in.tables.begin(), built_in.tables.end(),
                                   [&](const TableRecord& r) { return r.name == record.name; });
    EXPECT_EQ(record.sigma_table, same->sigma_table) << record.name;
    EXPECT_EQ(record.sigma_table_from, same->sigma_table_from);
  }
}

// A layer of fp8 that takes 30 us quantises for 8 of them: the product takes 22, as a cast is an
// operator of its own. Of another m or another engine nothing is taken off.
TEST(CalibrationImportTest, WhatALayerQuantisesIsTakenOff) {
  const std::vector<TextFile> files = {
      {"h100_gemm_fp8_trtllm_1.0.csv", kOpsHeader + "fp8,x,1,256,512,30\nfp8,x,64,256,512,40\n"},
      {"h100_fp8_computescale_trtllm_1.0.csv", "m,k,dtype,latency_us\n1,512,fp8,8\n1,256,fp8,7\n"},
      {"h100_fp8_computescale_vllm_1.0.csv", "m,k,dtype,latency_us\n64,512,fp8,5\n"}};
  const auto made = ImportCalibrations(files, LoadDevice("h100"));
  const std::string table = *Find(made, "2025/gemm_fp8.csv");
  EXPECT_NE(table.find("\n256,512,22,40\n"), std::string::npos) << table;
}

// Estimates that together rest on every reasoned number.
std::vector<Cost> EstimatesOf(const Calibration& c) {
  std::vector<Cost> costs = {
      c.Gemm({1024, 4096, 4096}),
      c.Gemm({1024, 4096, 4096, Dtype::kBf16, GemmPass::kWgrad}),
      c.Gemm({1024, 4096, 4096, Dtype::kFp8Block, GemmPass::kWgrad}),
      c.Attention({AttentionPhase::kTrainForward, 16, 16, 128, 128, 1, 4096, 4096}),
      c.Attention({AttentionPhase::kTrainBackward, 16, 16, 128, 128, 1, 4096, 4096}),
      c.Attention({.phase = AttentionPhase::kTrainBackward,
                   .heads = 16,
                   .kv_heads = 16,
                   .qk_dim = 192,
                   .query = 4096,
                   .context = 4096,
                   .form = AttentionForm::kMla})};
  for (const Dtype dtype : {Dtype::kBf16, Dtype::kFp8, Dtype::kFp8Block})
    costs.push_back(c.GroupedGemm({8, 8192, 4096, 4096, dtype}));
  for (const auto& kind : EnumNames<ElementwiseKind>::kNames)
    costs.push_back(c.Elementwise(kind.value, MiB(64)));
  return costs;
}

TEST(CalibrationFileTest, EveryReasonedNumberIsReadFromTheFileAndChangesATime) {
  for (const char* stack : {"2025", "2024h1"}) {
    CalibrationFile file = BuiltIn(stack);
    const std::string own = std::string(stack) + "/calibration.json";
    const auto estimates = [&] {
      return EstimatesOf(Calibration(LoadDevice("h800"), stack, [&](std::string_view path) {
        if (path == own) return PrintCalibrationFile(file);
        return std::string(*BuiltinText("calibrations/" + std::string(path)));
      }));
    };
    const std::vector<Cost> before = estimates();
    for (ReasonedRecord& record : file.reasoned) {
      record.value *= 1.5;
      const std::vector<Cost> after = estimates();
      bool changed = false;
      for (size_t i = 0; i < before.size(); ++i)
        changed = changed || after[i].time != before[i].time;
      EXPECT_TRUE(changed) << stack << ": " << record.name;
      record.value /= 1.5;
    }
  }
}

TEST(CalibrationFileTest, ParsingWhatIsPrintedGivesTheSame) {
  for (const char* stack : {"2025", "2024h1"}) {
    const std::string text(
        *BuiltinText("calibrations/" + std::string(stack) + "/calibration.json"));
    EXPECT_EQ(PrintCalibrationFile(ParseCalibrationFile(text, "calibration.json")), text);
  }
}

TEST(CalibrationFileTest, ATableOfAttentionSaysItsHeadSizes) {
  CalibrationFile file = BuiltIn("2025");
  const auto load = [&] {
    return MessageOf([&] {
      Calibration(LoadDevice("h800"), "2025",
                  [&](std::string_view) { return PrintCalibrationFile(file); });
    });
  };
  EXPECT_EQ(load(), "no UserError");
  for (TableRecord& record : file.tables)
    if (record.name == "mla_prefill") record.v_dim.reset();
  EXPECT_NE(
      load().find("2025/calibration.json: /tables: found \"mla_prefill\" without qk_dim and v_dim"),
      std::string::npos)
      << load();
}

TEST(CalibrationFileTest, UnknownFieldsAndTablesAreErrors) {
  std::string text(*BuiltinText("calibrations/2024h1/calibration.json"));
  const auto load = [&](std::string changed) {
    return MessageOf([&] {
      Calibration(LoadDevice("h800"), "2024h1", [&](std::string_view path) {
        if (path == "2024h1/calibration.json") return changed;
        return std::string(*BuiltinText("calibrations/" + std::string(path)));
      });
    });
  };
  EXPECT_EQ(load(text), "no UserError");
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = text;
    changed.replace(changed.find(from), from.size(), to);
    return load(changed);
  };
  EXPECT_NE(with("\"stack\"", "\"stak\": 1, \"stack\"").find("did you mean \"stack\"?"),
            std::string::npos);
  EXPECT_NE(with("\"grouped_bf16\"", "\"grouped_bf61\"").find("did you mean \"grouped_bf16\"?"),
            std::string::npos);
  EXPECT_NE(with("\"base\": \"2025\"", "\"base\": \"\"").find("measured_on"), std::string::npos);
}

TEST(CalibrationLoaderTest, AnUnknownStackListsTheOnesThereAre) {
  EXPECT_EQ(MessageOf([] { LoadCalibration(LoadDevice("h800"), "2024h2"); }),
            "stack: found \"2024h2\", expected one of 2024h1, 2025 (did you mean \"2024h1\"?)");
  EXPECT_THROW(LoadCalibration(LoadDevice("h800"), "2025", "/no/such/directory"), UserError);
}

}  // namespace
}  // namespace moecast
