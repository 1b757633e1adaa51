// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/layout_file.h"

#include <algorithm>
#include <cerrno>

#include "fsengine/base/checked_file.h"
#include "fsengine/base/tree_codec.h"

namespace ovl {
namespace {

constexpr FileKind kLayoutFile{
    "layout", "layout.new", {'o', 'v', 'l', 'a', 'y', 'o', 'u', 't'}, 1};
constexpr uint32_t kMostLayers = UINT16_MAX;

struct LayoutHeader {
  uint64_t device_bytes;
  uint64_t fingerprint;
  uint32_t parameters;
  uint32_t layers;
};
static_assert(sizeof(LayoutHeader) == 24);

struct LayerHeader {
  uint64_t ino;
  int64_t mtime_sec;
  int64_t birth_sec;
  uint32_t mtime_nsec;
  uint32_t birth_nsec;
  uint32_t has_birth;
  uint32_t role;
};
static_assert(sizeof(LayerHeader) == 40);

LayerHeader header_of(const LayerRecord& layer) {
  const RootIdentity& root = layer.root;
  const Timestamp birth = root.birth.value_or(Timestamp{});
  return {.ino = root.ino,
          .mtime_sec = root.mtime.sec,
          .birth_sec = birth.sec,
          .mtime_nsec = root.mtime.nsec,
          .birth_nsec = birth.nsec,
          .has_birth = root.birth ? 1U : 0U,
          .role = static_cast<uint32_t>(layer.role)};
}

Status write_record(CheckedWriter& out, const LayoutRecord& record,
                    const std::vector<LayerRecord>& layers) {
  OVL_TRY(out.put(LayoutHeader{record.device_bytes, record.fingerprint,
                               static_cast<uint32_t>(record.parameters.size()),
                               static_cast<uint32_t>(layers.size())}));
  for (const Parameter& parameter : record.parameters) {
    OVL_TRY(out.put_string(parameter.name));
    OVL_TRY(out.put_string(parameter.value));
  }
  for (const LayerRecord& layer : layers) {
    OVL_TRY(out.put(header_of(layer)));
    OVL_TRY(out.put_string(layer.path));
  }
  return {};
}

Result<LayerRecord> read_layer(CheckedReader& in) {
  const auto header = OVL_TRY(in.get<LayerHeader>());
  if (header.role > static_cast<uint32_t>(LayerRole::kDataOnly) ||
      header.has_birth > 1)
    return damaged("a layer");
  LayerRecord layer;
  layer.role = LayerRole{static_cast<uint8_t>(header.role)};
  layer.root.ino = header.ino;
  layer.root.mtime = {header.mtime_sec, header.mtime_nsec};
  if (header.has_birth != 0)
    layer.root.birth = Timestamp{header.birth_sec, header.birth_nsec};
  layer.path = OVL_TRY(in.get_string());
  if (layer.path.empty() || layer.path.find('\0') != std::string::npos)
    return damaged("the path of a layer");
  return layer;
}

// Upper, lowers, data-only ones: then a layer's index is its place here.
bool is_stack(const std::vector<LayerRecord>& layers) {
  const auto count = [&](LayerRole role) {
    return std::ranges::count(layers, role, &LayerRecord::role);
  };
  return count(LayerRole::kUpper) == 1 && count(LayerRole::kLower) > 0 &&
         std::ranges::is_sorted(layers, {}, &LayerRecord::role);
}

Result<SavedLayout> read_content(CheckedReader& in) {
  const auto header = OVL_TRY(in.get<LayoutHeader>());
  if (header.layers > kMostLayers)
    return damaged("too many layers");
  SavedLayout saved;
  saved.record.device_bytes = header.device_bytes;
  saved.record.fingerprint = header.fingerprint;
  for (uint32_t i = 0; i < header.parameters; ++i) {
    Parameter parameter;
    parameter.name = OVL_TRY(in.get_string());
    parameter.value = OVL_TRY(in.get_string());
    saved.record.parameters.push_back(std::move(parameter));
  }
  auto& layers = saved.stack.layers;
  for (uint32_t i = 0; i < header.layers; ++i)
    layers.push_back(OVL_TRY(read_layer(in)));
  if (!is_stack(layers))
    return damaged("the layers");
  saved.stack.trees = OVL_TRY(read_trees(in, header.layers));
  OVL_TRY(in.finish());
  return saved;
}

tl::unexpected<Error> differs(const std::string& name, const std::string& kept,
                              const std::string& wanted) {
  const auto told = [](const std::string& value) {
    return value.empty() ? "(none)" : value;
  };
  return fail(EINVAL, name + ": is " + told(wanted) +
                          ", but the device that is kept was made with " +
                          told(kept));
}

std::vector<std::string> paths_of(const std::vector<LayerRecord>& layers,
                                  LayerRole role) {
  std::vector<std::string> paths;
  for (const LayerRecord& layer : layers)
    if (layer.role == role)
      paths.push_back(layer.path);
  return paths;
}

Status compare_paths(LayerRole role, std::vector<std::string> kept,
                     std::vector<std::string> wanted) {
  const size_t most = std::max(kept.size(), wanted.size());
  kept.resize(most);
  wanted.resize(most);
  for (size_t i = 0; i < most; ++i)
    if (kept[i] != wanted[i])
      return differs(parameter_of(role), kept[i], wanted[i]);
  return {};
}

std::string value_of(const std::vector<Parameter>& all,
                     const std::string& name) {
  const auto at = std::ranges::find(all, name, &Parameter::name);
  return at == all.end() ? "" : at->value;
}

Status compare_values(const std::vector<Parameter>& names,
                      const std::vector<Parameter>& kept,
                      const std::vector<Parameter>& wanted) {
  for (const Parameter& parameter : names) {
    const std::string before = value_of(kept, parameter.name);
    const std::string now = value_of(wanted, parameter.name);
    if (before != now)
      return differs(parameter.name, before, now);
  }
  return {};
}

}  // namespace

Status write_layout(Os& os, int state_dir, const LayoutRecord& record,
                    const Stack& stack) {
  CheckedWriter out =
      OVL_TRY(CheckedWriter::create(os, state_dir, kLayoutFile));
  OVL_TRY(write_record(out, record, stack.records()));
  OVL_TRY(write_trees(out, stack.scanned()));
  return out.commit();
}

Result<SavedLayout> read_layout(int state_dir) {
  CheckedReader in = OVL_TRY(CheckedReader::open(state_dir, kLayoutFile));
  return read_content(in).in(kLayoutFile.name);
}

Status remove_layout(Os& os, int state_dir) {
  return remove_checked_file(os, state_dir, kLayoutFile);
}

Status check_wanted(const SavedLayout& kept, const StackOptions& layers,
                    const std::vector<Parameter>& parameters) {
  const auto& before = kept.stack.layers;
  OVL_TRY(compare_paths(LayerRole::kLower, paths_of(before, LayerRole::kLower),
                        layers.lowers));
  OVL_TRY(compare_paths(LayerRole::kDataOnly,
                        paths_of(before, LayerRole::kDataOnly),
                        layers.data_only));
  OVL_TRY(compare_paths(LayerRole::kUpper, paths_of(before, LayerRole::kUpper),
                        {layers.upper.value_or("")}));
  OVL_TRY(compare_values(kept.record.parameters, kept.record.parameters,
                         parameters));
  return compare_values(parameters, kept.record.parameters, parameters);
}

}  // namespace ovl
