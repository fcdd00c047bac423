// moecast model NAME|config.json: size and cost of a model.
#include <memory>

#include "base/error.h"
#include "base/quantity_text.h"
#include "cli/command.h"
#include "scenarios/model_loader.h"
#include "viz/model_view.h"

namespace moecast {

Action DefineModel(OptionList list, const CommonOptions& common) {
  struct Options {
    std::string model;
    ModelViewOptions view;
  };
  const auto options = std::make_shared<Options>();
  list.Add("model", options->model, "a built-in name or the path of a Hugging Face config.json",
           {.required = true});
  list.Add("--sequence", options->view.sequence, "tokens of a sequence, for the flops of attention",
           {.show_default = true});
  list.Add("--kv-bits", options->view.kv_bits, "bits of one element of the KV cache",
           {.show_default = true});
  return [options, &common] {
    const ModelViewOptions& view = options->view;
    constexpr int64_t kLongest = int64_t{1} << 30;
    if (view.sequence < 1 || view.sequence > kLongest)
      throw UserError({.file = "--sequence",
                       .value = std::to_string(view.sequence),
                       .expected = "from 1 to " + std::to_string(kLongest)});
    if (!(view.kv_bits > 0 && view.kv_bits <= 64))
      throw UserError({.file = "--kv-bits",
                       .value = ShowNumber(view.kv_bits),
                       .expected = "above 0, at most 64"});
    const Model model = LoadModel(options->model);
    Emit(common, ModelJson(model, view), ModelText(model, view));
  };
}

}  // namespace moecast
