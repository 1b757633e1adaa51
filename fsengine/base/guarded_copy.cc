// SPDX-License-Identifier: BSD-3-Clause
//
// A write says that the host's disk is full or broken; a store into a mapped
// file gets SIGBUS, and who does not handle it dies. So the copy leaves word
// where it is at work, and the handler goes back there. A signal from anywhere
// else goes to who handled it before.
//
//   guarded_copy                 on_bus_error
//     attempt = where, way back
//     copy ----- SIGBUS ----->   in the attempt's pages? -> the way back
//     attempt = none             otherwise               -> the former handler
//
// No call is made for a copy that succeeds, which is what mapping is for. The
// way back is a jump over memcpy and nothing else: nothing there has a
// destructor. A jump does not unblock signals, so the handler sets the mask
// that was interrupted; to save it at each copy would be a call.
#include "fsengine/base/guarded_copy.h"

#include <ucontext.h>

#include <atomic>
#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <cstring>

namespace ovl {
namespace {

struct Attempt {
  uintptr_t begin;
  uintptr_t end;
  sigjmp_buf way_back;
};

constexpr uintptr_t kPage = 4096;

// In the thread's first block of storage: a signal handler may not allocate.
[[gnu::tls_model("initial-exec")]] constinit thread_local Attempt* attempt =
    nullptr;
struct sigaction former {};

// The address may be told as the page's.
bool is_of_attempt(const siginfo_t* info) {
  const auto at = reinterpret_cast<uintptr_t>(info->si_addr);
  return attempt != nullptr && info->si_code > 0 &&
         at / kPage >= attempt->begin / kPage && at < attempt->end;
}

void pass_on(int signal, siginfo_t* info, void* context) {
  if ((former.sa_flags & SA_SIGINFO) != 0) {
    former.sa_sigaction(signal, info, context);
    return;
  }
  ::sigaction(signal, &former, nullptr);  // for the access, when it is repeated
  if (info->si_code <= 0)
    ::raise(signal);
}

void on_bus_error(int signal, siginfo_t* info, void* context) {
  if (is_of_attempt(info)) {
    const auto* interrupted = static_cast<const ucontext_t*>(context);
    ::pthread_sigmask(SIG_SETMASK, &interrupted->uc_sigmask, nullptr);
    siglongjmp(attempt->way_back, 1);
  }
  pass_on(signal, info, context);
}

bool handle_bus_errors() {
  struct sigaction action {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  return ::sigaction(SIGBUS, &action, &former) == 0;
}

}  // namespace

bool guarded_copy(std::byte* to, std::span<const std::byte> from) {
  static const bool handled = handle_bus_errors();
  Attempt mine{reinterpret_cast<uintptr_t>(to),
               reinterpret_cast<uintptr_t>(to) + from.size(),
               {}};
  const bool is_first = handled && sigsetjmp(mine.way_back, 0) == 0;
  if (is_first) {
    attempt = &mine;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    std::memcpy(to, from.data(), from.size());
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }
  attempt = nullptr;
  return is_first;
}

}  // namespace ovl
