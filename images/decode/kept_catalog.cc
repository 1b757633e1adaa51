// SPDX-License-Identifier: BSD-3-Clause
#include "images/decode/kept_catalog.h"

#include <utility>

#include "fsengine/base/dir_names.h"

namespace ovl {

Status KeptCatalog::read(const Place& place, Catalog& catalog) {
  file_.reset();
  old_ = 0;
  if (place.number == 0)
    return {};
  file_ = OVL_TRY(
      CatalogFile::open(os_, directory_, place.number, place.point, catalog));
  return {};
}

Result<KeptCatalog::Place> KeptCatalog::keep(const Catalog& catalog,
                                             const CatalogDelta& delta,
                                             const CatalogPoint& point) {
  if (file_ && !file_->is_mostly_old()) {
    OVL_TRY(file_->append(catalog, delta, point));
    return Place{file_->number(), point};
  }
  const uint64_t before = file_ ? file_->number() : 0;
  file_ =
      OVL_TRY(CatalogFile::create(os_, directory_, before + 1, catalog, point));
  old_ = before;
  return Place{before + 1, point};
}

Status KeptCatalog::remove_all(Os& os, int directory) {
  for (const std::string& name : OVL_TRY(list_names(directory)))
    if (name.starts_with("catalog."))
      OVL_TRY(os.unlink({directory, name}).in(name));
  return {};
}

Status KeptCatalog::forget_old() {
  const uint64_t number = std::exchange(old_, 0);
  return number == 0 ? Status() : CatalogFile::remove(os_, directory_, number);
}

}  // namespace ovl
