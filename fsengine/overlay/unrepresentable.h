// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_set>

#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/overlay/xattr_family.h"

namespace ovl {

/// Objects, owners and attributes that upper's file system cannot have, or we
/// may not make them there, and permissions that would bar us, who need what
/// upper has: are they left out, or is everything held back for them? For one
/// thread at a time.
class Unrepresentable {
 public:
  enum class Policy { kRecord, kHold };

  /// `is_privileged`: no permissions bar us. `family`: of upper.
  Unrepresentable(Policy policy, bool is_privileged, XattrFamily family,
                  std::function<void(const std::string& line)> report)
      : policy_(policy),
        is_privileged_(is_privileged),
        family_(family),
        report_(std::move(report)) {}

  /// `path` beneath upper could not be given `what`. True: to go on without,
  /// which was told of once. Errors that pass are not for this.
  bool leave_out(const At& at, std::string_view path, std::string_view what,
                 const Error& error);

  bool is_privileged() const { return is_privileged_; }
  XattrFamily family() const { return family_; }
  /// Can all that we make in upper be read by us, whatever a guest's
  /// permissions are?
  bool keeps_access() const {
    return is_privileged_ || policy_ == Policy::kRecord;
  }
  /// The permissions that an object at `at` gets for those of the guest: ours
  /// to read, and to go through a directory, are not taken away.
  Result<uint32_t> permissions(const At& at, uint32_t mode,
                               const std::function<std::string()>& path);

  /// A new object of type `mode` could not be made for `path`. Else as above.
  bool leave_out_object(uint32_t mode, std::string_view path,
                        const Error& error);

 private:
  static bool is_for_ever(const At& at, const Error& error);
  static bool can_never_be(uint32_t mode, const Error& error);
  void tell(std::string_view path, std::string_view what, const Error& error);

  const Policy policy_;
  const bool is_privileged_;
  const XattrFamily family_;
  const std::function<void(const std::string& line)> report_;
  std::unordered_set<std::string> told_;
};

}  // namespace ovl
