#include "viz/fields_view.h"

namespace moecast {

Json FieldsJson(const std::vector<FieldDoc>& docs) {
  Json list = Json::array();
  for (const FieldDoc& d : docs)
    list.push_back(
        {{"pointer", d.pointer}, {"type", d.type}, {"default", d.default_value}, {"help", d.help}});
  return list;
}

std::string FieldsMarkdown(const std::vector<FieldDoc>& docs) {
  std::string out =
      "# Fields of a training scenario\n\n"
      "Made by `moecast scenario --fields`. A scenario is a JSON object; a field is named by its JSON "
      "pointer, `/0` is any\n"
      "element of a list. Every field can be set on the command line: `--set training/parallel/dp=64`. A "
      "field without a\n"
      "default is required.\n\n"
      "| field | meaning | value | default |\n|---|---|---|---|\n";
  for (const FieldDoc& d : docs)
    out += "| `" + d.pointer + "` | " + d.help + " | " + d.type + " | " +
           (d.default_value.empty() ? "" : "`" + d.default_value + "`") + " |\n";
  return out;
}

}  // namespace moecast
