// Answers without an end. They hold no worker: the listener's watching thread has them.

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <utility>

#include "control/connection.h"

namespace oncegate::control {
namespace {

constexpr int kStreamSendBytes = 16 * 1024;

}  // namespace

// From now on the watching thread has the connection.
bool Listener::BeginStream(ConnectionPtr& connection) {
  connection->deadline_ms = clock_.SteadyMs() + options_.send_timeout_ms;
  if (stopping_.load()) return false;
  {
    const std::lock_guard lock(mutex_);
    new_streams_.push_back(std::move(connection));
  }
  eventfd_write(wake_fd_, 1);
  return true;
}

void Listener::AdoptStreams() {
  std::vector<ConnectionPtr> begun;
  {
    const std::lock_guard lock(mutex_);
    begun.swap(new_streams_);
  }
  for (ConnectionPtr& connection : begun) {
    const int fd = connection->fd;
    // A kernel that takes megabytes for a client that does not read would tell it of what is long past.
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kStreamSendBytes, sizeof kStreamSendBytes);
    epoll_event event{.events = EPOLLIN | EPOLLRDHUP, .data = {.fd = fd}};
    epoll_ctl(work_fd_, EPOLL_CTL_DEL, fd, nullptr);
    const bool watched = epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) == 0;
    streams_.emplace(fd, std::move(connection));
    if (!watched) CloseStream(fd);
  }
}

void Listener::ServeStreams() {
  streams_served_ms_ = clock_.SteadyMs();
  std::vector<int> over;
  for (const auto& [fd, connection] : streams_) {
    if (!ServeStream(*connection)) over.push_back(fd);
  }
  for (const int fd : over) CloseStream(fd);
}

bool Listener::ServeStream(Connection& connection) {
  if (connection.stream_generation != stream_generation_.load()) return false;
  // A client that does not keep up is asked for no more, so that what waits for it stays bounded.
  if (connection.unsent.empty()) connection.unsent = connection.stream->Take();
  while (!connection.unsent.empty()) {
    const tls::IoResult result = connection.Write(connection.unsent);
    if (result.io == tls::Io::kBlocked) return clock_.SteadyMs() < connection.deadline_ms;
    if (result.io != tls::Io::kProgress) return false;
    connection.unsent.erase(0, result.bytes);
  }
  connection.deadline_ms = clock_.SteadyMs() + options_.send_timeout_ms;
  return true;
}

// Whatever a client says on a stream is thrown away. False: it has closed.
bool Listener::ReadStream(int fd) {
  Connection& connection = *streams_.at(fd);
  const bool alive = ReadAvailable(connection) && !connection.at_end;
  connection.input.clear();
  return alive;
}

void Listener::CloseStream(int fd) {
  streams_.erase(fd);
  const std::lock_guard lock(mutex_);
  --connections_;
}

}  // namespace oncegate::control
