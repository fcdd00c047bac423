# Writes OUT: the files FILES (relative to DATA) as one table of names and raw string literals.
set(rows "")
foreach(file IN LISTS FILES)
  file(READ ${DATA}/${file} text)
  string(APPEND rows "    {\"${file}\", R\"moecast(${text})moecast\"sv},\n")
endforeach()
file(WRITE ${OUT}
"// Made from scenarios/data by scenarios/embed.cmake.
#include \"scenarios/builtin.h\"

namespace moecast {
using namespace std::string_view_literals;

std::span<const BuiltinFile> BuiltinFiles() {
  static constexpr BuiltinFile kFiles[] = {
${rows}  };
  return kFiles;
}

}  // namespace moecast
")
