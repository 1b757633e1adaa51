// SPDX-License-Identifier: BSD-3-Clause
//
// Runs a fuzzer's target over each file of a corpus, and over each with bytes
// changed (fixed seed), so that a build without libFuzzer looks around, too.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <set>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Bytes = std::vector<uint8_t>;

Bytes read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(file), {});
}

void run(const Bytes& bytes) {
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2)
    return 2;
  std::mt19937_64 random(1);
  int files = 0;
  // In an order that is the same everywhere, as the changes are to be.
  std::set<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1]))
    paths.insert(entry.path());
  for (const auto& path : paths) {
    const Bytes bytes = read_file(path);
    run(bytes);
    for (int i = 0; i < 20 && !bytes.empty(); ++i) {
      Bytes changed = bytes;
      for (int n = 0; n < 3; ++n)
        changed[random() % changed.size()] = static_cast<uint8_t>(random());
      run(changed);
    }
    ++files;
  }
  std::printf("%d files\n", files);
  return files == 0 ? 1 : 0;
}
