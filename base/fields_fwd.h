// Declares the Fields table without its machinery (and the JSON library behind it), for headers
// that only name one:
//   const Fields<Plan>& FieldsOf(const Plan*);
// Sources that define or use a table include base/fields.h.
#pragma once

namespace moecast {

template <class S>
class Fields;

}  // namespace moecast
