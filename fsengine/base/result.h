// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <tl/expected.hpp>

namespace ovl {

/// What went wrong: an errno for the caller to act on and one line for a
/// person: `copy_up etc/passwd: fsync: No space left on device` (outermost
/// operation first, then path, syscall, cause). Composed where the facts are
/// known, given context with in(), reported once at the edge.
class Error {
 public:
  Error(int code, std::string what) : code_(code), what_(std::move(what)) {}

  int code() const { return code_; }
  const std::string& what() const { return what_; }

  /// The same error, seen from one level further out.
  Error in(std::string_view context) const {
    Error outer(code_, std::string(context) + ": " + what_);
    outer.is_reported_ = is_reported_;
    return outer;
  }

  /// The same error, which the operator was told of: the edge need not.
  Error as_reported() const {
    Error reported(*this);
    reported.is_reported_ = true;
    return reported;
  }
  bool is_reported() const { return is_reported_; }

 private:
  int code_;
  std::string what_;
  bool is_reported_ = false;
};

template <typename T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;

  /// Prefixes the error, if there is one, with `context`.
  Result in(std::string_view context) && {
    if (!this->has_value())
      return tl::unexpected(this->error().in(context));
    return std::move(*this);
  }
  /// The same with a context that is only made for an error.
  template <std::invocable Describe>
  Result in(Describe describe) && {
    if (!this->has_value())
      return tl::unexpected(this->error().in(describe()));
    return std::move(*this);
  }
};

using Status = Result<void>;

/// An Error of `errno_value`, worded `operation: strerror`.
tl::unexpected<Error> system_error(int errno_value, std::string_view operation);

/// The same for the errno of the call that failed just now.
tl::unexpected<Error> last_error(std::string_view operation);

/// `text` with bytes that would break a line of a log, or a terminal, as \ooo:
/// a guest chooses the names that messages tell.
std::string one_line(std::string_view text);

/// An Error that no system call made.
inline tl::unexpected<Error> fail(int code, std::string what) {
  return tl::unexpected(Error(code, std::move(what)));
}

}  // namespace ovl

// Early return: one OVL_TRY a statement, always the whole initializer or the
// whole statement. Yields the value of a Result, or returns its error.
#define OVL_TRY(expression)                                     \
  __extension__({                                               \
    auto ovl_try_result = (expression);                         \
    if (!ovl_try_result.has_value())                            \
      return tl::unexpected(std::move(ovl_try_result).error()); \
    ::ovl::detail::unwrap(std::move(ovl_try_result));           \
  })

namespace ovl::detail {

template <typename T>
T unwrap(Result<T>&& result) {
  return std::move(*result);
}
inline void unwrap(Result<void>&&) {}

}  // namespace ovl::detail
