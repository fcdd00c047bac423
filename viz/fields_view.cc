#include "viz/fields_view.h"

namespace moecast {

Json FieldsJson(const std::vector<FieldDoc>& docs) {
  Json list = Json::array();
  for (const FieldDoc& d : docs)
    list.push_back(
        {{"pointer", d.pointer}, {"type", d.type}, {"default", d.default_value}, {"help", d.help}});
  return list;
}

std::string FieldsMarkdown(const std::string& heading, const std::string& text,
                           const std::vector<FieldDoc>& docs) {
  std::string out = "# " + heading + "\n\n" + text +
                    "\n| field | meaning | value | default |\n|---|---|---|---|\n";
  for (const FieldDoc& d : docs)
    out += "| `" + d.pointer + "` | " + d.help + " | " + d.type + " | " +
           (d.default_value.empty() ? "" : "`" + d.default_value + "`") + " |\n";
  return out;
}

}  // namespace moecast
