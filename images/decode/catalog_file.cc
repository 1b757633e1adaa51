// SPDX-License-Identifier: BSD-3-Clause
//
// Crash: a batch that is not whole, or that the mark does not tell of, is
// behind the point that open() is asked for, and append() writes over it. The
// file is cut first, so that nothing of it stands behind the new one.
#include "images/decode/catalog_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <xxhash.h>

#include <array>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "fsengine/base/little_endian.h"
#include "fsengine/base/read_at.h"

namespace ovl {

namespace {

constexpr char kMagic[8] = {'o', 'v', 'l', 'c', 'a', 't', 'a', 'l'};
constexpr uint32_t kVersion = 1;
constexpr size_t kHeaderBytes = 40;
constexpr size_t kHashedHeader = 32;

using Header = std::array<std::byte, kHeaderBytes>;

std::string name_of(uint64_t number) {
  return fmt::format("catalog.{}", number);
}

Header encode_header(uint64_t number, uint64_t fingerprint) {
  Header header{};
  std::memcpy(header.data(), kMagic, sizeof kMagic);
  store_le(header, 8, kVersion);
  store_le(header, 16, number);
  store_le(header, 24, fingerprint);
  store_le<uint64_t>(header, kHashedHeader,
                     XXH3_64bits(header.data(), kHashedHeader));
  return header;
}

Status check_header(const Header& header, uint64_t number,
                    uint64_t fingerprint) {
  if (std::memcmp(header.data(), kMagic, sizeof kMagic) != 0 ||
      load_le<uint64_t>(header, kHashedHeader) !=
          XXH3_64bits(header.data(), kHashedHeader))
    return fail(EUCLEAN, "damaged");
  if (load_le<uint32_t>(header, 8) != kVersion)
    return fail(EPROTO, "of an unknown version");
  if (load_le<uint64_t>(header, 16) != number)
    return fail(EUCLEAN, "of another number");
  if (load_le<uint64_t>(header, 24) != fingerprint)
    return fail(ESTALE, "of another base image");
  return {};
}

Status sync_with_name(Os& os, int fd, int directory) {
  OVL_TRY(os.fdatasync(fd));
  return os.fsync(directory);
}

}  // namespace

Result<std::unique_ptr<CatalogFile>> CatalogFile::create(
    Os& os, int directory, uint64_t number, const Catalog& catalog,
    const CatalogPoint& point) {
  const std::string name = name_of(number);
  Fd fd =
      OVL_TRY(os.open_file({directory, name}, O_RDWR | O_CREAT | O_TRUNC, 0600)
                  .in(name));
  std::unique_ptr<CatalogFile> file(new CatalogFile(os, std::move(fd), number));
  const Header header =
      encode_header(number, catalog.base().image().fingerprint());
  OVL_TRY(os.pwrite(file->fd_.get(), header, 0).in(name));
  file->end_ = kHeaderBytes;
  OVL_TRY(file->append(catalog, whole(catalog), point));
  OVL_TRY(sync_with_name(os, file->fd_.get(), directory).in(name));
  file->first_end_ = file->end_;
  return file;
}

Result<std::unique_ptr<CatalogFile>> CatalogFile::open(
    Os& os, int directory, uint64_t number, const CatalogPoint& point,
    Catalog& catalog) {
  const std::string name = name_of(number);
  // O_CREAT is not there, so this changes nothing.
  Fd fd = OVL_TRY(os.open_file({directory, name}, O_RDWR, 0).in(name));
  std::unique_ptr<CatalogFile> file(new CatalogFile(os, std::move(fd), number));
  OVL_TRY(file->read(point, catalog).in(name));
  return file;
}

Status CatalogFile::read(const CatalogPoint& point, Catalog& catalog) {
  struct stat st {};
  if (::fstat(fd_.get(), &st) != 0)
    return last_error("fstat");
  const auto size = static_cast<uint64_t>(st.st_size);
  Header header{};
  if (size < header.size())
    return fail(EUCLEAN, "damaged");
  OVL_TRY(read_at(fd_.get(), 0, header));
  OVL_TRY(check_header(header, number_, catalog.base().image().fingerprint()));
  std::array<std::byte, kBatchHeadBytes> head;
  std::vector<std::byte> content;
  uint64_t before = 0;
  for (end_ = kHeaderBytes;;) {
    if (size - end_ < head.size())
      return fail(EUCLEAN, "it ends before what the mark tells of");
    OVL_TRY(read_at(fd_.get(), end_, head));
    const BatchHead batch = decode_batch_head(head);
    const bool is_first = end_ == kHeaderBytes;
    if (batch.length > size - end_ - head.size() ||
        batch.point.position > point.position ||
        (!is_first && batch.point.position <= before))
      return fail(EUCLEAN, "a batch is damaged");
    content.resize(batch.length);
    OVL_TRY(read_at(fd_.get(), end_ + head.size(), content));
    OVL_TRY(decode_batch(head, content, number_, catalog));
    end_ += head.size() + batch.length;
    if (is_first)
      first_end_ = end_;
    before = batch.point.position;
    if (batch.point == point)
      return {};
  }
}

Status CatalogFile::append(const Catalog& catalog, const CatalogDelta& delta,
                           const CatalogPoint& point) {
  const std::vector<std::byte> batch =
      encode_batch(catalog, delta, point, number_);
  const std::string name = name_of(number_);
  OVL_TRY(os_.ftruncate(fd_.get(), end_).in(name));
  OVL_TRY(os_.pwrite(fd_.get(), batch, end_).in(name));
  OVL_TRY(os_.fdatasync(fd_.get()).in(name));
  end_ += batch.size();
  return {};
}

Status CatalogFile::remove(Os& os, int directory, uint64_t number) {
  const Status removed = os.unlink({directory, name_of(number)});
  if (!removed && removed.error().code() != ENOENT)
    return tl::unexpected(removed.error().in(name_of(number)));
  return {};
}

}  // namespace ovl
