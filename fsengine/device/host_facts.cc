// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/device/host_facts.h"

#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace ovl {
namespace {

bool module_parameter(const char* name) {
  std::ifstream file(std::string("/sys/module/overlay/parameters/") + name);
  char value = 'N';
  file >> value;
  return value == 'Y';
}

}  // namespace

bool is_privileged() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  if (::syscall(SYS_capget, &header, data) != 0)
    return false;
  return (data[0].effective & (1U << CAP_SYS_ADMIN)) != 0;
}

XattrFamily default_family() {
  return is_privileged() ? XattrFamily::kTrusted : XattrFamily::kUser;
}

bool kernel_follows_redirects() {
  return module_parameter("redirect_dir") ||
         module_parameter("redirect_always_follow");
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0)
    return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);  // without it fewer files stay open
}

}  // namespace ovl
