// SPDX-License-Identifier: BSD-3-Clause
//
// Mutexes whose use clang checks (-Wthread-safety), under annotations of their
// own. g++ ignores the annotations.
#pragma once

#include <pthread.h>

#include <condition_variable>
#include <shared_mutex>

#if defined(__clang__)
#define OVL_THREAD_ATTRIBUTE(x) __attribute__((x))
#else
#define OVL_THREAD_ATTRIBUTE(x)
#endif

#define OVL_GUARDED_BY(mutex) OVL_THREAD_ATTRIBUTE(guarded_by(mutex))
#define OVL_REQUIRES(...) OVL_THREAD_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define OVL_EXCLUDES(...) OVL_THREAD_ATTRIBUTE(locks_excluded(__VA_ARGS__))
#define OVL_RETURNS_MUTEX(x) OVL_THREAD_ATTRIBUTE(lock_returned(x))

namespace ovl {

/// Spins for a little while before it sleeps: what most are held for is shorter
/// than going to sleep and being woken.
class OVL_THREAD_ATTRIBUTE(capability("mutex")) Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;
  ~Mutex() { ::pthread_mutex_destroy(&mutex_); }

  void lock() OVL_THREAD_ATTRIBUTE(acquire_capability()) {
    ::pthread_mutex_lock(&mutex_);
  }
  void unlock() OVL_THREAD_ATTRIBUTE(release_capability()) {
    ::pthread_mutex_unlock(&mutex_);
  }

 private:
  pthread_mutex_t mutex_ = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
};

class OVL_THREAD_ATTRIBUTE(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex)
      OVL_THREAD_ATTRIBUTE(acquire_capability(mutex))
      : mutex_(mutex) {
    mutex_.lock();
  }
  ~MutexLock() OVL_THREAD_ATTRIBUTE(release_capability()) { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

/// Waits with a Mutex held; spurious wake-ups happen.
class CondVar {
 public:
  void wait(Mutex& mutex) OVL_REQUIRES(mutex) { condition_.wait(mutex); }
  template <typename Duration>
  void wait_for(Mutex& mutex, Duration most) OVL_REQUIRES(mutex) {
    condition_.wait_for(mutex, most);
  }
  void notify_all() { condition_.notify_all(); }

 private:
  std::condition_variable_any condition_;
};

/// Many readers or one writer.
class OVL_THREAD_ATTRIBUTE(capability("mutex")) SharedMutex {
 public:
  void lock() OVL_THREAD_ATTRIBUTE(acquire_capability()) { mutex_.lock(); }
  void unlock() OVL_THREAD_ATTRIBUTE(release_capability()) { mutex_.unlock(); }
  void lock_shared() OVL_THREAD_ATTRIBUTE(acquire_shared_capability()) {
    mutex_.lock_shared();
  }
  void unlock_shared() OVL_THREAD_ATTRIBUTE(release_shared_capability()) {
    mutex_.unlock_shared();
  }

 private:
  std::shared_mutex mutex_;
};

class OVL_THREAD_ATTRIBUTE(scoped_lockable) WriterLock {
 public:
  explicit WriterLock(SharedMutex& mutex)
      OVL_THREAD_ATTRIBUTE(acquire_capability(mutex))
      : mutex_(mutex) {
    mutex_.lock();
  }
  ~WriterLock() OVL_THREAD_ATTRIBUTE(release_capability()) { mutex_.unlock(); }
  WriterLock(const WriterLock&) = delete;
  WriterLock& operator=(const WriterLock&) = delete;

 private:
  SharedMutex& mutex_;
};

class OVL_THREAD_ATTRIBUTE(scoped_lockable) ReaderLock {
 public:
  explicit ReaderLock(SharedMutex& mutex)
      OVL_THREAD_ATTRIBUTE(acquire_shared_capability(mutex))
      : mutex_(mutex) {
    mutex_.lock_shared();
  }
  ~ReaderLock() OVL_THREAD_ATTRIBUTE(release_capability()) {
    mutex_.unlock_shared();
  }
  ReaderLock(const ReaderLock&) = delete;
  ReaderLock& operator=(const ReaderLock&) = delete;

 private:
  SharedMutex& mutex_;
};

}  // namespace ovl
