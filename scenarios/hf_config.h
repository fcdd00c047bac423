// A Model from a Hugging Face config.json. Reads the fields that decide sizes and costs and passes
// over the rest, as such files hold much else (token ids, dropout, dtypes). What a config does not
// say but its modelling code does (the qkv biases of qwen2, the router bias of deepseek_v3) is set
// by model_type.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/json.h"
#include "costmodel/model.h"

namespace moecast {

// The values of model_type that are understood, sorted.
std::span<const std::string_view> HfModelTypes();

// Throws UserError: a field missing, of a wrong type, negative or absurd, fields at odds with each
// other, an unknown model_type (then with what it lacks to be read as llama), a hidden_act other
// than silu.
Model ParseHfConfig(const JsonCursor& config, const std::string& name);
Model ParseHfConfig(std::string_view text, const std::string& file, const std::string& name);

}  // namespace moecast
