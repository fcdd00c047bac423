#include "scenarios/model_loader.h"

#include "scenarios/hf_config.h"
#include "scenarios/named_text.h"

namespace moecast {

Model LoadModel(const std::string& name_or_path) {
  const NamedText config = ReadNamed("models", "model", name_or_path);
  return ParseHfConfig(config.text, config.file, config.name);
}

}  // namespace moecast
