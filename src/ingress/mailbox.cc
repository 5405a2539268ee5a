#include "ingress/mailbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>

namespace oncegate {

Mailbox::Mailbox() : event_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}

void Mailbox::Post(LoopMessage message) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    messages_.push_back(std::move(message));
    if (messages_.size() > 1) return;  // the loop has been woken and has not looked yet
  }
  const uint64_t one = 1;
  // It can only fail when the counter is full, and then the loop is awake anyway.
  [[maybe_unused]] const ssize_t written = write(event_.get(), &one, sizeof one);
}

std::vector<LoopMessage> Mailbox::TakeAll() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = read(event_.get(), &count, sizeof count);
  std::vector<LoopMessage> messages;
  const std::lock_guard lock(mutex_);
  messages.swap(messages_);
  return messages;
}

void Mailbox::Close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  messages_.clear();
}

}  // namespace oncegate
