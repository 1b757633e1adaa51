// SPDX-License-Identifier: BSD-3-Clause
#include "tests/oracle/kept_catalog.h"

#include "tests/support/temp_dir.h"

namespace ovl {

Result<std::unique_ptr<KeptCatalog>> KeptCatalog::create(
    const std::string& directory, const Catalog& catalog) {
  std::unique_ptr<KeptCatalog> kept(new KeptCatalog(open_dir(directory)));
  kept->file_ = OVL_TRY(CatalogFile::create(kept->os_, kept->directory_.get(),
                                            kept->mark_.number, catalog,
                                            kept->mark_.point));
  return kept;
}

Status KeptCatalog::keep(const Catalog& catalog, const CatalogDelta& delta,
                         const CatalogPoint& point) {
  kept_ = {file_->number(), point};
  if (!file_->is_mostly_old())
    return file_->append(catalog, delta, point);
  ++kept_.number;
  file_ = OVL_TRY(
      CatalogFile::create(os_, directory_.get(), kept_.number, catalog, point));
  return {};
}

Status KeptCatalog::tell() {
  const uint64_t old = mark_.number;
  mark_ = kept_;
  if (old == mark_.number)
    return {};
  return CatalogFile::remove(os_, directory_.get(), old);
}

Status KeptCatalog::read(Catalog& catalog) {
  file_ = OVL_TRY(CatalogFile::open(os_, directory_.get(), mark_.number,
                                    mark_.point, catalog));
  return {};
}

}  // namespace ovl
