// SPDX-License-Identifier: BSD-3-Clause
//
// CBOR (RFC 8949) by nlohmann's library: names are bytes there, not text.
#include <cerrno>
#include <cstdint>

#include <nlohmann/json.hpp>

#include "fsengine/overlay/publish_plan.h"

namespace ovl {
namespace {

using Json = nlohmann::json;

constexpr int kVersion = 2;

Json bytes(const std::string& text) {
  return Json::binary({text.begin(), text.end()});
}

Json encode(const NameStep& step) {
  return Json::array({static_cast<int>(step.kind), bytes(step.dir),
                      bytes(step.name), bytes(step.staged), step.ino});
}

Json encode(const AttributeStep& step) {
  const AttributeChange& change = step.change;
  Json set = Json::array();
  for (const Xattr& xattr : change.set)
    set.push_back(Json::array({bytes(xattr.name), bytes(xattr.value)}));
  Json remove = Json::array();
  for (const std::string& name : change.remove)
    remove.push_back(bytes(name));
  Json owner = Json::array();
  if (change.owner)
    owner = Json::array({change.owner->uid, change.owner->gid});
  Json mode = Json::array();
  if (change.mode)
    mode = Json::array({*change.mode});
  return Json::array({bytes(step.path), owner, mode, set, remove,
                      change.mtime.sec, change.mtime.nsec, step.ino});
}

Json encode(const UnlockStep& step) {
  return Json::array({bytes(step.path), step.ino, step.mode});
}

Json encode(const MoveStep& step) {
  return Json::array(
      {bytes(step.dir), bytes(step.name), bytes(step.staged), step.ino});
}

Json encode(const PatchStep& step) {
  Json ranges = Json::array();
  for (const FileRange& range : step.ranges)
    ranges.push_back(Json::array({range.first, range.count, range.is_hole}));
  return Json::array(
      {bytes(step.path), step.ino, step.size, bytes(step.staged), ranges});
}

template <typename Step>
Json encode_all(const std::vector<Step>& steps) {
  Json all = Json::array();
  for (const Step& step : steps)
    all.push_back(encode(step));
  return all;
}

// The library throws on a wrong type or a missing element: caught once, in
// decode_plan.
std::string text(const Json& value) {
  const auto& binary = value.get_binary();
  return {binary.begin(), binary.end()};
}

void decode(const Json& value, NameStep& step) {
  const int kind = value.at(0).get<int>();
  if (kind < 0 || kind > static_cast<int>(NameStep::Kind::kRemove))
    throw Json::out_of_range::create(401, "kind of step", &value);
  step = {static_cast<NameStep::Kind>(kind), text(value.at(1)),
          text(value.at(2)), text(value.at(3)), value.at(4).get<uint64_t>()};
}

void decode(const Json& value, AttributeStep& step) {
  step.path = text(value.at(0));
  AttributeChange& change = step.change;
  if (!value.at(1).empty())
    change.owner = Owner{value.at(1).at(0).get<uint32_t>(),
                         value.at(1).at(1).get<uint32_t>()};
  if (!value.at(2).empty())
    change.mode = value.at(2).at(0).get<uint32_t>();
  for (const Json& xattr : value.at(3))
    change.set.push_back({text(xattr.at(0)), text(xattr.at(1))});
  for (const Json& name : value.at(4))
    change.remove.push_back(text(name));
  change.mtime = {value.at(5).get<int64_t>(), value.at(6).get<uint32_t>()};
  if (value.size() > 7)  // plans of before have none
    step.ino = value.at(7).get<uint64_t>();
}

void decode(const Json& value, UnlockStep& step) {
  step = {text(value.at(0)), value.at(1).get<uint64_t>(),
          value.at(2).get<uint32_t>()};
}

void decode(const Json& value, MoveStep& step) {
  step = {text(value.at(0)), text(value.at(1)), text(value.at(2)),
          value.at(3).get<uint64_t>()};
}

void decode(const Json& value, PatchStep& step) {
  step = {text(value.at(0)),
          value.at(1).get<uint64_t>(),
          value.at(2).get<uint64_t>(),
          text(value.at(3)),
          {}};
  for (const Json& range : value.at(4))
    step.ranges.push_back({range.at(0).get<uint64_t>(),
                           range.at(1).get<uint64_t>(),
                           range.at(2).get<bool>()});
}

template <typename Step>
void decode_all(const Json& all, std::vector<Step>& steps) {
  for (const Json& value : all) {
    Step step;
    decode(value, step);
    steps.push_back(std::move(step));
  }
}

}  // namespace

std::string encode_plan(const PublishPlan& plan) {
  const Json json = {{"ovl-plan", kVersion},
                     {"upper", plan.upper_ino},
                     {"unlocks", encode_all(plan.unlocks)},
                     {"moves", encode_all(plan.moves)},
                     {"names", encode_all(plan.names)},
                     {"patches", encode_all(plan.patches)},
                     {"attributes", encode_all(plan.attributes)}};
  std::string encoded;
  Json::to_cbor(json, encoded);
  return encoded;
}

Result<PublishPlan> decode_plan(std::span<const std::byte> encoded) {
  const auto* begin = reinterpret_cast<const uint8_t*>(encoded.data());
  try {
    const Json json = Json::from_cbor(begin, begin + encoded.size());
    if (json.at("ovl-plan").get<int>() != kVersion)
      return fail(EPROTO, "plan: of an unknown version");
    PublishPlan plan;
    plan.upper_ino = json.at("upper").get<uint64_t>();
    decode_all(json.at("unlocks"), plan.unlocks);
    decode_all(json.at("moves"), plan.moves);
    decode_all(json.at("names"), plan.names);
    decode_all(json.at("patches"), plan.patches);
    decode_all(json.at("attributes"), plan.attributes);
    return plan;
  } catch (const Json::exception&) {
    return fail(EPROTO, "plan: not understood");
  }
}

}  // namespace ovl
