// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/upper_writer.h"

#include <fcntl.h>

#include "fsengine/base/paths.h"
#include "fsengine/overlay/upper_stage.h"

namespace ovl {
namespace {

class Publisher {
 public:
  Publisher(const UpperTarget& target, const UpperPlan& plan)
      : target_(target), plan_(plan), writer_(target) {}

  Status run(const StagedUpper& staged) {
    for (const bool hides : {false, true})
      for (const PublishStep& step : staged.steps)
        if (step.hides == hides)
          OVL_TRY(publish(step).in("upperdir: " +
                                   join_path(plan_.path(step.dir), step.name)));
    for (const AttributeStep& step : staged.attributes)
      OVL_TRY(settle(step).in("upperdir: " + step.path));
    return target_.os.syncfs(target_.upper).in("upperdir");
  }

 private:
  Status publish(const PublishStep& step) {
    const std::string path = plan_.path(step.dir);
    OVL_TRY(ensure_writable(step.dir, path));
    const Fd dir =
        OVL_TRY(open_beneath(target_.upper, path, O_RDONLY | O_DIRECTORY));
    const At name{dir.get(), step.name};
    const At staged{target_.staging, step.staged};
    switch (step.kind) {
      case PublishStep::Kind::kAdd:
        return target_.os.rename(staged, name, Rename::kNoReplace);
      case PublishStep::Kind::kReplace:
        return target_.os.rename(staged, name, Rename::kReplace);
      case PublishStep::Kind::kExchange:
        OVL_TRY(ensure_movable(name));
        return target_.os.rename(staged, name, Rename::kExchange);
      case PublishStep::Kind::kRemove:
        OVL_TRY(ensure_movable(name));
        return target_.os.rename(name, staged, Rename::kNoReplace);
    }
    return {};
  }

  // Without privilege the guest's permission bits bind us; they are set anew
  // when the directory is settled.
  Status ensure_writable(uint32_t index, const std::string& path) {
    const Node& node =
        target_.pool[layer_object(target_.pool, plan_.dirs[index].node)];
    if (target_.privileged || (node.mode & 0700) == 0700)
      return {};
    const SplitPath split = split_path(path);
    const Fd parent =
        OVL_TRY(open_beneath(target_.upper, split.dir, O_RDONLY | O_DIRECTORY));
    const std::string name(path.empty() ? "." : split.name);
    return target_.os.chmod({parent.get(), name}, node.mode | 0700);
  }

  // Moving a directory changes its "..", which takes permission to write it.
  Status ensure_movable(const At& at) {
    if (target_.privileged)
      return {};
    const Fd dir(::openat(at.dir, at.name.c_str(),
                          O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    return dir.is_open() ? target_.os.chmod(at, 0700) : Status();
  }

  Status settle(const AttributeStep& step) {
    const SplitPath split = split_path(step.path);
    const Fd dir =
        OVL_TRY(open_beneath(target_.upper, split.dir, O_RDONLY | O_DIRECTORY));
    const At at{dir.get(), std::string(step.path.empty() ? "." : split.name)};
    if (step.set_opaque)
      OVL_TRY(writer_.set_opaque(at));
    const Node& node = target_.pool[step.node];
    if (step.from == kNoNode)
      return writer_.set_attributes(at, node);
    return writer_.change_attributes(at, target_.pool[step.from], node);
  }

  const UpperTarget& target_;
  const UpperPlan& plan_;
  ObjectWriter writer_;
};

}  // namespace

Status write_upper(const UpperTarget& target, const UpperPlan& plan,
                   const std::function<Status()>& before_publish) {
  const StagedUpper staged = OVL_TRY(UpperStage(target, plan).run());
  if (staged.steps.empty() && staged.attributes.empty())
    return {};
  OVL_TRY(target.os.syncfs(target.staging).in("workdir"));
  OVL_TRY(before_publish());
  return Publisher(target, plan).run(staged);
}

}  // namespace ovl
